"""Laws of the scores."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import ACTIONS, IDENTITY_NAMES, LIGHTS, PLACES, Identity, Scene
from lafi_tiny.stages.agreement import Wanted
from lafi_tiny.stages.reader import CLASSES, Reading
from lafi_tiny.stages.scores import score

quick = settings(max_examples=40, deadline=None)
scenes = st.builds(Scene, st.sampled_from(PLACES), st.sampled_from(LIGHTS))
wanted = st.builds(Wanted, st.from_type(Identity), st.sampled_from(ACTIONS), scenes)
readings = st.builds(
    Reading,
    st.fixed_dictionaries({name: st.sampled_from(v) for name, v in CLASSES.items()}),
    st.just({}),
)


def reading_of(panel: Wanted, **changes: str) -> Reading:
    identity = {name: getattr(panel.identity, name) for name in IDENTITY_NAMES}
    scene = {"place": panel.scene.place, "light": panel.scene.light}
    return Reading({**identity, **scene, "action": panel.action, **changes}, {})


@quick
@given(st.lists(wanted, min_size=1, max_size=6))
def test_what_was_wanted_scores_one(panels: list[Wanted]) -> None:
    scores = score([reading_of(panel) for panel in panels], panels)
    assert scores.panels == len(panels)
    assert set(scores.attributes) == {name for panel in panels for name in panel.visible}
    shares = (scores.identity, scores.action, scores.place, scores.light, scores.scene)
    assert {*shares, *scores.attributes.values()} == {1.0}


@quick
@given(
    st.lists(st.tuples(readings, wanted), min_size=1, max_size=6), st.randoms(use_true_random=False)
)
def test_shares_agree_with_each_other_and_do_not_depend_on_the_order(
    pairs: list[tuple[Reading, Wanted]], random: Random
) -> None:
    scores = score([r for r, _ in pairs], [w for _, w in pairs])
    assert scores.scene <= min(scores.place, scores.light)
    assert scores.scene >= scores.place + scores.light - 1 - 1e-9
    random.shuffle(pairs)
    again = score([r for r, _ in pairs], [w for _, w in pairs])
    assert again.identity == pytest.approx(scores.identity)
    assert again.action == pytest.approx(scores.action)


def test_what_cannot_be_seen_does_not_count() -> None:
    who = Identity("tan", "red", "bun", "blue", "plain", "shorts", "navy", "cap", "slim")
    panel = Wanted(who, "running", Scene("beach", "day"))
    hidden = score([reading_of(panel, hair="blue", hairstyle="short")], [panel])
    assert hidden.identity == 1.0
    assert {"hair", "hairstyle"}.isdisjoint(hidden.attributes)
    assert score([reading_of(panel, top="red")], [panel]).identity == pytest.approx(6 / 7)


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="panels: got none, allowed: at least one"):
        score([], [])


def test_a_panel_without_a_reading_is_refused() -> None:
    who = Identity("tan", "red", "long", "blue", "plain", "shorts", "navy", "cap", "slim")
    with pytest.raises(ValueError, match="argument 2 is longer"):
        score([], [Wanted(who, "running", Scene("beach", "day"))])
