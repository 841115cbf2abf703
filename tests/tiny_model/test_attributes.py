"""The space of identities and settings, and what is held out of it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny import attributes
from lafi_tiny.attributes import (
    ACTIONS,
    BACKGROUNDS,
    IDENTITY_CHOICES,
    TIMES,
    Identity,
    Scene,
    count_matches,
    different_identity,
    is_held_out_identity,
    is_held_out_setting,
    random_identity,
    random_setting,
    with_attribute,
)

quick = settings(max_examples=50, deadline=None)
rngs = st.from_type(np.random.Generator)
identities = st.from_type(Identity)


@quick
@given(rngs, st.booleans())
def test_random_ones_are_on_the_wanted_side(rng: np.random.Generator, held_out: bool) -> None:
    assert is_held_out_identity(random_identity(rng, held_out=held_out)) == held_out
    assert is_held_out_setting(*random_setting(rng, held_out=held_out)) == held_out


@quick
@given(rngs, identities, st.booleans())
def test_a_different_identity_differs_in_four_attributes(
    rng: np.random.Generator, other: Identity, held_out: bool
) -> None:
    different = different_identity(rng, other, held_out=held_out)
    assert count_matches(different, other) <= 4
    assert is_held_out_identity(different) == held_out


@quick
@given(identities, identities)
def test_matches_are_counted_the_same_both_ways(a: Identity, b: Identity) -> None:
    assert count_matches(a, b) == count_matches(b, a)
    assert (count_matches(a, b) == 8) == (a == b)
    assert count_matches(a, a) == 8


@quick
@given(identities, st.data())
def test_one_attribute_changes_alone(identity: Identity, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(IDENTITY_CHOICES)))
    value = data.draw(st.sampled_from(IDENTITY_CHOICES[name]))
    changed = with_attribute(identity, name, value)
    assert getattr(changed, name) == value
    assert count_matches(changed, identity) == 8 - (getattr(identity, name) != value)


def test_one_identity_in_ten_is_held_out_with_every_attribute_on_both_sides() -> None:
    everyone = [Identity(*values) for values in product(*IDENTITY_CHOICES.values())]
    held_out = [i for i in everyone if is_held_out_identity(i)]
    trained = [i for i in everyone if not is_held_out_identity(i)]
    assert len(held_out) / len(everyone) == pytest.approx(0.1, abs=0.01)
    for side in (held_out, trained):
        for name, values in IDENTITY_CHOICES.items():
            assert {getattr(i, name) for i in side} == set(values)


def test_one_setting_in_nine_is_held_out_with_every_name_on_both_sides() -> None:
    every = [(a, Scene(b, t)) for a, b, t in product(ACTIONS, BACKGROUNDS, TIMES)]
    held_out = [s for s in every if is_held_out_setting(*s)]
    trained = [s for s in every if not is_held_out_setting(*s)]
    assert len(held_out) / len(every) == pytest.approx(1 / 9, abs=0.02)
    for side in (held_out, trained):
        assert {action for action, _ in side} == set(ACTIONS)
        assert {scene.background for _, scene in side} == set(BACKGROUNDS)
        assert {scene.time for _, scene in side} == set(TIMES)


@pytest.mark.parametrize("name", ["SKIN", "HAIR", "TOP", "TROUSERS"])
def test_colours_of_one_attribute_are_told_apart(name: str) -> None:
    colours = np.array(list(getattr(attributes, name).values()), dtype=float)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 60
