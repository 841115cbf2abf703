"""Casts of several characters, and the confusion matrix between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.several.casts import LEAST_TELLING, NAMED, Cast, casts, seen_of, storyboards, ways
from benchmarks.several.confusion import Seen, confusion, figures
from lafi.board.injection import Injection
from lafi.board.stages import Sampling
from lafi_tiny.hand.attributes import (
    Identity,
    is_held_out_identity,
    is_held_out_setting,
    random_identity,
)
from lafi_tiny.stages.reader import Reading

COUNTS = pytest.mark.parametrize("characters", [2, 3])
INJECTIONS = {"none": Injection(layers="none"), "decoder": Injection.as_published()}


def reading(who: Identity, action: str = "running") -> Reading:
    names = {name: getattr(who, name) for name in Identity.__dataclass_fields__}
    return Reading({**names, "action": action}, {})


def seen(given_casts: list[Cast], shown: list[list[Identity]]) -> Seen:
    readings = tuple(tuple(reading(who) for who in panel) for panel in shown)
    return Seen(tuple(given_casts), readings)


@COUNTS
def test_casts_are_held_out_apart_from_each_other_and_always_the_same(characters: int) -> None:
    drawn = casts(6, characters, seed=1)
    assert drawn == casts(8, characters, seed=1)[:6]
    assert len({cast.seed for cast in drawn}) == 6
    for cast in drawn:
        assert all(is_held_out_identity(who) for who in cast.identities)
        assert all(is_held_out_setting(action, cast.scene) for action in cast.actions)
        assert len(cast.telling) >= LEAST_TELLING
        for name in cast.telling:
            assert len({getattr(who, name) for who in cast.identities}) == characters


@COUNTS
def test_every_way_draws_the_same_panels_from_the_same_noise(characters: int) -> None:
    drawn = casts(5, characters, seed=2)
    for way in ways(INJECTIONS):
        boards = storyboards(drawn, way, Sampling())
        panels = [(board, panel) for board in boards for panel in board.panels]
        assert [panel.seed for _, panel in panels] == [cast.seed for cast in drawn]
        for (board, panel), cast in zip(panels, drawn, strict=True):
            assert (board.width, board.height) == (128, 128)
            assert len(panel.regions) == (characters if way.regions else 0)
            assert len(panel.characters) == characters
            text = panel.prompt_text(board)
            told = [
                getattr(who, name)
                for who in cast.identities
                for name in NAMED
                if name in seen_of(who)
            ]
            assert all((word in text) == way.described for word in told if word not in cast.actions)


def test_without_injection_regions_matter_for_words_only() -> None:
    names = [way.name for way in ways({"none": INJECTIONS["none"]})]
    assert names == ["none", "none; described", "none, regions; described in regions"]
    assert len(ways(INJECTIONS)) == 3 + 4


@COUNTS
def test_whoever_is_seen_is_where_the_matrix_says(characters: int) -> None:
    drawn = casts(4, characters, seed=3)
    right = seen(drawn, [list(cast.identities) for cast in drawn])
    np.testing.assert_array_equal(confusion(right), np.stack([np.eye(characters)] * 4))
    turned = seen(drawn, [[*cast.identities[1:], cast.identities[0]] for cast in drawn])
    expected = np.roll(np.eye(characters), 1, axis=1)
    np.testing.assert_array_equal(confusion(turned), np.stack([expected] * 4))
    found, other = figures(right), figures(turned)
    assert found["own"]["value"] == found["own_wins"]["value"] == found["identity"]["value"] == 1.0
    assert other["own"]["value"] == other["own_wins"]["value"] == 0.0
    assert other["other"]["value"] == 1.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.sampled_from([2, 3]))
def test_an_attribute_is_at_most_one_characters(seed: int, characters: int) -> None:
    drawn = casts(3, characters, seed=seed)
    rng = np.random.default_rng(seed)
    shown = [[random_identity(rng) for _ in cast.identities] for cast in drawn]
    matrices = confusion(seen(drawn, shown))
    assert matrices.min() >= 0.0
    assert matrices.sum(axis=2).max() <= 1.0 + 1e-12


def test_named_attributes_that_do_not_tell_are_not_counted() -> None:
    one = casts(1, 2, seed=4)[0]
    who = one.identities[0]
    other = Identity(**{n: getattr(who, n) for n in Identity.__dataclass_fields__})
    alike = Cast((who, other), one.actions, one.scene, 1)
    assert alike.telling == ()
    assert np.isnan(confusion(seen([alike], [[who, other]]), NAMED)).all()
    both = figures(
        seen([one, alike, one], [list(one.identities), [who, other], list(one.identities)])
    )
    assert both["own"]["value"] == 1.0
