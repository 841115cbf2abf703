"""Who is there in each paragraph."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lafi_story.presence import who_is_there

NOBODY: frozenset[str] = frozenset()
NAMES = st.lists(st.sampled_from("abc"), max_size=3, unique=True)


@given(st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=8), st.frozensets(st.integers(-1, 9)))
def test_only_who_acts_in_a_scene_is_in_it(
    given_: list[tuple[list[str], list[str], list[str]]], borders: frozenset[int]
):
    present = [[*one, *two, *three] for one, two, three in given_]
    strong = [frozenset((*two, *three)) for _, two, three in given_]
    talk = [three for _, _, three in given_]
    found = who_is_there(present, strong, talk, borders)
    everybody = set().union(*strong) if strong else set()
    assert len(found) == len(given_)
    for names, own in zip(found, strong, strict=True):
        assert own <= set(names) <= everybody
        assert len(names) == len(set(names))


def test_whose_thing_is_named_is_there_only_where_they_act_too():
    strong = [frozenset("a"), NOBODY]
    assert who_is_there([["a", "b"], ["b"]], strong, [[], []], frozenset()) == [["a"], []]


@pytest.mark.parametrize(("borders", "there"), [(frozenset(), ["a"]), (frozenset({1}), [])])
def test_nobody_leaves_between_two_deeds_of_one_scene(borders: frozenset[int], there: list[str]):
    strong = [frozenset("a"), NOBODY, frozenset("a")]
    assert who_is_there([["a"], [], ["a"]], strong, [[], [], []], borders)[1] == there


def test_who_talks_has_somebody_who_hears_it():
    strong = [frozenset("a"), frozenset("b")]
    assert who_is_there([["a"], ["b"]], strong, [["a"], ["b"]], frozenset()) == [
        ["a", "b"],
        ["b", "a"],
    ]
