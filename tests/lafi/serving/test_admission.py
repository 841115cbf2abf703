import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.serving.admission import Admission, RefusedError


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
