"""A line through the calls that were made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.denoising.step_times import StepTimes


def test_nothing_is_known_before_the_first_call() -> None:
    assert StepTimes().seconds(1.0) is None


@given(
    st.floats(0.001, 1.0),
    st.floats(0.001, 10.0),
    st.lists(st.floats(0.01, 4.0), min_size=2, max_size=30),
)
def test_a_line_is_found_again(base: float, slope: float, calls: list[float]) -> None:
    times = StepTimes()
    for megapixels in calls:
        times.add(megapixels, base + slope * megapixels)
    if max(calls) - min(calls) > 0.1:
        assert times.seconds(2.0) == pytest.approx(base + slope * 2.0, rel=1e-3)
    assert times.seconds(calls[0]) == pytest.approx(base + slope * calls[0], rel=0.5)


def test_what_was_long_ago_fades() -> None:
    times = StepTimes()
    for seconds in [1.0] * 50 + [0.1] * 400:
        times.add(0.5, seconds)
    assert times.seconds(0.5) == pytest.approx(0.1, rel=0.01)


def test_numbers_that_make_no_line_are_taken_by_the_pixel() -> None:
    times = StepTimes()
    times.add(1.0, 2.0)
    assert times.seconds(3.0) == pytest.approx(6.0)
    times.add(4.0, 1.0)
    assert times.seconds(1.0) is not None
    assert times.seconds(1.0) > 0
