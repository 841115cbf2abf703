"""Forecasts follow the work ahead, and what was foretold wrongly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.cost import Cost
from lafi.serving.forecast import Forecast


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def forecast(clock: Clock | None = None) -> Forecast:
    """A full call is over 1 megapixel and takes 1.1 s, of which 0.1 s for any call."""
    return Forecast(lambda megapixels: 0.1 + megapixels, 1.0, clock or Clock())


SMALL, LARGE = Cost(6.0, 6, 6), Cost(6400.0, 6400, 100)


def test_nothing_is_foretold_before_a_call_was_timed() -> None:
    assert Forecast(lambda megapixels: None, 1.0, Clock()).seconds(SMALL) is None


def test_alone_it_takes_its_work_or_its_longest_picture() -> None:
    assert forecast().seconds(Cost(6.0, 6, 6)) == pytest.approx(6 * 1.1)
    assert forecast().seconds(Cost(0.6, 6, 6)) == pytest.approx(6 * 0.2)
    assert forecast().seconds(Cost(64.0, 64, 1)) == pytest.approx(64 * 1.1)


def test_a_large_one_ahead_costs_a_small_one_no_more_than_its_own_work_again() -> None:
    told = forecast()
    told.begin(LARGE)
    assert told.seconds(SMALL) == pytest.approx(2 * 6 * 1.1)
    job = told.begin(Cost(2.0, 2, 2))
    assert told.seconds(SMALL) == pytest.approx((6 + 2 + 6) * 1.1)
    told.step(job)
    assert told.seconds(SMALL) == pytest.approx((6 + 1 + 6) * 1.1)
    told.end(job, whole=False)
    assert told.seconds(SMALL) == pytest.approx(2 * 6 * 1.1)


@given(st.lists(st.tuples(st.floats(0.1, 50), st.integers(1, 50)), max_size=8))
def test_more_ahead_never_takes_less(costs: list[tuple[float, int]]) -> None:
    told = forecast()
    last = told.seconds(SMALL)
    for megapixel_steps, steps in costs:
        told.begin(Cost(megapixel_steps, steps, steps))
        now = told.seconds(SMALL)
        assert now is not None
        assert last is not None
        assert now >= last
        last = now


def test_it_learns_from_what_took_longer_than_foretold() -> None:
    clock = Clock()
    told = forecast(clock)
    for _ in range(30):
        job = told.begin(SMALL)
        clock.now += 2 * 6 * 1.1
        told.end(job, whole=True)
    assert told.seconds(SMALL) == pytest.approx(2 * 6 * 1.1, rel=0.01)
    job = told.begin(SMALL)
    clock.now += 1000
    told.end(job, whole=False)
    assert told.seconds(SMALL) == pytest.approx(2 * 6 * 1.1, rel=0.01)


@given(st.lists(st.tuples(st.floats(0.1, 50), st.integers(1, 50)), max_size=5), st.integers(1, 30))
def test_what_is_left_falls_with_every_step_to_nothing(
    others: list[tuple[float, int]], steps: int
) -> None:
    told = forecast()
    for megapixel_steps, count in others:
        told.begin(Cost(megapixel_steps, count, count))
    job = told.begin(Cost(float(steps), steps, steps))
    last = told.left(job)
    for _ in range(steps):
        told.step(job)
        now = told.left(job)
        assert now is not None
        assert last is not None
        assert now <= last
        last = now
    assert last == pytest.approx(0.0, abs=1e-6)


def test_what_is_left_is_not_known_before_a_call_was_timed() -> None:
    told = Forecast(lambda megapixels: None, 1.0, Clock())
    assert told.left(told.begin(SMALL)) is None


def test_the_work_in_flight_is_what_is_left_of_it() -> None:
    told = forecast()
    assert told.work() == 0.0
    job = told.begin(Cost(2.0, 2, 2))
    told.begin(Cost(6.0, 6, 6))
    assert told.work() == pytest.approx(8 * 1.1)
    told.step(job)
    assert told.work() == pytest.approx(7 * 1.1)
    told.end(job, whole=False)
    assert told.work() == pytest.approx(6 * 1.1)
    unknown = Forecast(lambda megapixels: None, 1.0, Clock())
    unknown.begin(SMALL)
    assert unknown.work() == 0.0
