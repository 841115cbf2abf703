"""Who says each quote, found for all of them together: laws, and small cases by hand."""

from itertools import product

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lafi_story.conversation import Cue, best_speakers, nearness

FOLLOWS = ("adjacent", "goes on", "said", "beat", "then", "paragraph", "open", "apart", "scene")
POINTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(-9, 9).map(float), max_size=6)
CUES = st.lists(
    st.builds(
        Cue,
        points=POINTS,
        between=POINTS,
        called=st.lists(st.sampled_from("abc"), max_size=1).map(tuple),
        follows=st.sampled_from(FOLLOWS),
        asks=st.booleans(),
    ),
    max_size=12,
)


@given(CUES)
def test_each_quote_has_one_of_its_own_people_or_nobody(cues: list[Cue]):
    found = best_speakers(cues)
    assert len(found) == len(cues)
    assert all(name == "" or name in cue.points for name, cue in zip(found, cues, strict=True))


@given(CUES)
def test_the_order_of_names_does_not_matter(cues: list[Cue]):
    other = [
        Cue(dict(reversed(c.points.items())), c.between, c.called, c.follows, c.asks) for c in cues
    ]
    assert best_speakers(cues) == best_speakers(other)


def cues(*given_: tuple[str, dict[str, float]]) -> list[Cue]:
    return [Cue({"mia": 0.0, "tim": 0.0} | points, follows=follows) for follows, points in given_]


def test_a_name_that_comes_late_tells_whose_the_lines_before_are():
    talk = [("scene", {}), ("adjacent", {}), ("paragraph", {}), ("adjacent", {"tim": 9.0})]
    assert best_speakers(cues(*talk)) == ("mia", "tim", "mia", "tim")


def test_two_who_are_equally_likely_leave_a_quote_open():
    assert best_speakers(cues(("scene", {}))) == ("",)
    assert best_speakers(cues(("scene", {}), ("adjacent", {}))) == ("", "")


def test_a_quote_that_was_not_closed_goes_on():
    assert best_speakers(cues(("scene", {"mia": 2.0}), ("open", {"tim": 1.0}))) == ("mia", "mia")


def test_who_is_called_answers():
    first, second, third = cues(("scene", {"tim": 9.0}), ("paragraph", {}), ("paragraph", {}))
    first.points["ann"] = second.points["ann"] = third.points["ann"] = 0.0
    first.called = ("ann",)
    assert best_speakers([first, second])[1] == "ann"


@pytest.mark.parametrize(("name", "found"), [("mia", ("mia", "tim")), ("tim", ("tim", "mia"))])
def test_who_acts_between_two_quotes_says_one_of_them(name: str, found: tuple[str, ...]):
    talk = cues(("scene", {name: 0.5}), ("then", {}))
    talk[1].between = {"mia": 2.0}
    assert best_speakers(talk) == found


@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=8),
    st.frozensets(st.integers(1, 7)),
)
def test_who_is_there_is_nearest(acting: list[list[str]], borders: frozenset[int]):
    near = nearness(acting, borders)
    assert len(near) == len(acting)
    for names, points in zip(acting, near, strict=True):
        assert all(points[name] == 0 for name in names)
        assert all(value <= 0 for value in points.values())


def test_a_new_scene_takes_people_farther_away_and_hides_who_comes_later():
    alone: list[list[str]] = [["a"], [], ["b"]]
    for place, name in product((1,), "ab"):
        crossed = nearness(alone, frozenset({1, 2}))[place].get(name, -99.0)
        assert crossed < nearness(alone, frozenset())[place][name]
