"""Delays stay within their bounds, and settings that make no sense are named."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_client.retry import RetryPolicy


@given(st.integers(0, 10**6), st.floats(0, 100), st.floats(1, 10), st.floats(0, 1), st.integers())
def test_delays_lie_between_the_jittered_and_the_full_one(
    attempt: int, first: float, factor: float, jitter: float, seed: int
) -> None:
    policy = RetryPolicy(5, first, factor, 30.0, jitter, random.Random(seed))
    full = RetryPolicy(5, first, factor, 30.0, 0.0).delay(attempt)
    assert full <= 30.0
    assert full * (1 - jitter) <= policy.delay(attempt) <= full


def test_delays_grow_until_the_longest() -> None:
    policy = RetryPolicy(first_delay=1.0, factor=2.0, max_delay=5.0, jitter=0.0)
    assert [policy.delay(attempt) for attempt in range(4)] == [1.0, 2.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("retries", -1, "0 or more"),
        ("first_delay", float("nan"), "0 or more"),
        ("factor", 0.5, "1 or more"),
        ("max_delay", -1.0, "0 or more"),
        ("jitter", 1.5, "0 to 1"),
    ],
)
def test_errors_name_the_field(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: got {value}, allowed {allowed}$"):
        RetryPolicy(**{field: value})


def test_the_default_patience_outlasts_a_restart() -> None:
    policy = RetryPolicy()
    shortest = sum(policy.delay(attempt) for attempt in range(policy.retries))
    assert shortest > 180, "a server loads in up to 62 s"
