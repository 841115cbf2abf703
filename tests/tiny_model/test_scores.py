"""Laws of the scores."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.attributes import ACTIONS, BACKGROUNDS, IDENTITY_CHOICES, TIMES, Identity, Scene
from lafi_tiny.reader import CLASSES, Reading
from lafi_tiny.scores import Wanted, identity_match, score, twin_agreement

quick = settings(max_examples=40, deadline=None)
identities = st.from_type(Identity)
scenes = st.builds(Scene, st.sampled_from(BACKGROUNDS), st.sampled_from(TIMES))
wanted = st.builds(Wanted, identities, st.sampled_from(ACTIONS), scenes)
readings = st.builds(
    Reading,
    st.fixed_dictionaries({name: st.sampled_from(v) for name, v in CLASSES.items()}),
    st.just({}),
)


def _reading_of(panel: Wanted) -> Reading:
    identity = {name: getattr(panel.identity, name) for name in IDENTITY_CHOICES}
    scene = {"background": panel.scene.background, "time": panel.scene.time}
    return Reading({**identity, **scene, "action": panel.action, "facing": "left"}, {})


@quick
@given(identities, identities)
def test_the_match_is_symmetrical_and_one_only_for_the_same(a: Identity, b: Identity) -> None:
    assert identity_match(a, b) == identity_match(b, a)
    assert 0 <= identity_match(a, b) <= 1
    assert (identity_match(a, b) == 1) == (a == b)


@quick
@given(st.lists(wanted, min_size=1, max_size=6))
def test_what_was_wanted_scores_one(panels: list[Wanted]) -> None:
    scores = score([_reading_of(panel) for panel in panels], panels)
    assert scores.panels == len(panels)
    assert set(scores.attributes) == set(IDENTITY_CHOICES)
    shares = (scores.identity, scores.action, scores.background, scores.time, scores.scene)
    assert {*shares, *scores.attributes.values()} == {1.0}


@quick
@given(
    st.lists(st.tuples(readings, wanted), min_size=1, max_size=6), st.randoms(use_true_random=False)
)
def test_shares_agree_with_each_other_and_do_not_depend_on_the_order(
    pairs: list[tuple[Reading, Wanted]], random: Random
) -> None:
    scores = score([r for r, _ in pairs], [w for _, w in pairs])
    mean = sum(scores.attributes.values()) / len(scores.attributes)
    assert scores.identity == pytest.approx(mean)
    assert scores.scene <= min(scores.background, scores.time)
    assert scores.scene >= scores.background + scores.time - 1 - 1e-9
    random.shuffle(pairs)
    again = score([r for r, _ in pairs], [w for _, w in pairs])
    assert again.identity == pytest.approx(scores.identity)
    assert again.action == pytest.approx(scores.action)


@quick
@given(st.lists(st.tuples(readings, readings), min_size=1, max_size=6))
def test_twins_agree_as_much_from_either_side(pairs: list[tuple[Reading, Reading]]) -> None:
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    assert twin_agreement(left, right) == twin_agreement(right, left)
    assert twin_agreement(left, left) == 1
    assert 0 <= twin_agreement(left, right) <= 1


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="panels: got none, allowed: at least one"):
        score([], [])
    with pytest.raises(ValueError, match="pictures: got none, allowed: at least one"):
        twin_agreement([], [])


def test_a_panel_without_a_reading_is_refused() -> None:
    panel = Wanted(
        Identity("tan", "red", "long", "blue", "plain", "navy", "cap", "slim"),
        "running",
        Scene("beach", "day"),
    )
    with pytest.raises(ValueError, match="argument 2 is longer"):
        score([], [panel])
