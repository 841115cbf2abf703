"""Storyboards are admitted within limits, and refused with numbers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.cost import Cost
from lafi.board.error import StoryboardError
from lafi.serving.admission import Admission, Budget, RefusedError, budget_of
from lafi.serving.forecast import Forecast


@settings(deadline=None, max_examples=50)
@given(limit=st.integers(1, 4), moves=st.lists(st.booleans(), max_size=40))
def test_never_more_than_the_limit_and_every_refusal_is_counted(
    limit: int, moves: list[bool]
) -> None:
    admission = Admission(limit)
    inside = refused = 0
    for comes in moves:
        if comes and inside < limit:
            admission.admit()
            inside += 1
        elif comes:
            with pytest.raises(RefusedError):
                admission.admit()
            refused += 1
        elif inside:
            admission.release()
            inside -= 1
        assert (admission.in_flight, admission.refused) == (inside, refused)


def test_a_refusal_says_the_limit() -> None:
    admission = Admission(1)
    admission.admit()
    with pytest.raises(RefusedError, match="at most 1 storyboards at a time and 1 are in flight"):
        admission.admit()


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_storyboards: got 0, allowed: 1 or more"):
        Admission(0)


def test_a_place_cannot_be_given_back_twice() -> None:
    with pytest.raises(RuntimeError, match="a place was given back that was not taken"):
        Admission(1).release()


def cost(panels: int = 1) -> Cost:
    return Cost(10.0 * panels, 10 * panels, 10)


def test_what_costs_too_much_at_any_time_names_both_numbers() -> None:
    admission = Admission(4, Budget(storyboard=30, total=100))
    with pytest.raises(StoryboardError, match="panels: got 40 megapixel steps, allowed: 30 in one"):
        admission.charge(cost(4))
    assert admission.megapixel_steps == 0


def test_what_is_too_much_now_may_come_later() -> None:
    admission = Admission(4, Budget(storyboard=60, total=100))
    first = admission.charge(cost(6))
    with pytest.raises(RefusedError, match="at most 100 megapixel steps at a time; 60 are in"):
        admission.charge(cost(5))
    assert admission.refused == 1
    admission.give_back(first, whole=True)
    assert admission.charge(cost(5)).megapixel_steps == 50


def test_a_deadline_that_cannot_be_met_is_refused_with_the_forecast() -> None:
    forecast = Forecast(lambda megapixels: megapixels, 2.0, lambda: 0.0)
    admission = Admission(4, forecast=forecast)
    with pytest.raises(
        RefusedError, match=r"deadline_seconds: got 9, allowed: 10 or more, which it would take now"
    ):
        admission.charge(cost(), 9.0)
    charge = admission.charge(cost(), 11.0)
    with pytest.raises(RefusedError, match="allowed: 20 or more"):
        admission.charge(cost(), 11.0)
    for _ in range(9):
        admission.step(charge)
    admission.charge(cost(), 20.0)


@given(st.integers(0, 2048))
def test_the_usual_budget_takes_the_largest_storyboard_of_the_models_own_size(side: int) -> None:
    budget = budget_of(side)
    largest = 64 * 100 * (side or 512) ** 2 / 1e6
    assert largest <= budget.storyboard <= budget.total
