"""Identities and settings: independent, and partly held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import (
    ACTIONS,
    IDENTITY_CHOICES,
    LIGHTS,
    PLACES,
    Identity,
    Scene,
    count_matches,
    different_identity,
    is_held_out_identity,
    is_held_out_setting,
    pick_weighted,
    random_identity,
    random_setting,
    with_attribute,
)

identities = st.builds(Identity, **{k: st.sampled_from(v) for k, v in IDENTITY_CHOICES.items()})
rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(rngs, st.booleans())
def test_random_identities_are_on_the_wanted_side_of_the_split(
    rng: np.random.Generator, held_out: bool
) -> None:
    assert is_held_out_identity(random_identity(rng, held_out=held_out)) == held_out


@given(rngs, st.booleans())
def test_random_settings_are_on_the_wanted_side_of_the_split(
    rng: np.random.Generator, held_out: bool
) -> None:
    assert is_held_out_setting(*random_setting(rng, held_out=held_out)) == held_out


def test_one_in_nine_settings_is_held_out_and_none_of_their_parts() -> None:
    held = [
        (a, p, t)
        for a in ACTIONS
        for p in PLACES
        for t in LIGHTS
        if is_held_out_setting(a, Scene(p, t))
    ]
    assert len(held) / (len(ACTIONS) * len(PLACES) * len(LIGHTS)) == pytest.approx(1 / 9, abs=0.01)
    for position, names in enumerate((ACTIONS, PLACES, LIGHTS)):
        shares = [sum(triple[position] == name for triple in held) for name in names]
        assert max(shares) < 0.3 * len(held)


def test_one_in_ten_identities_is_held_out() -> None:
    rng = np.random.default_rng(0)
    names = {k: rng.choice(v, size=20000) for k, v in IDENTITY_CHOICES.items()}
    rows = [Identity(**{k: str(v[i]) for k, v in names.items()}) for i in range(20000)]
    assert np.mean([is_held_out_identity(r) for r in rows]) == pytest.approx(0.1, abs=0.01)


@given(identities, st.data())
def test_an_attribute_changes_alone(identity: Identity, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(IDENTITY_CHOICES)))
    others = [v for v in IDENTITY_CHOICES[name] if v != getattr(identity, name)]
    changed = with_attribute(identity, name, data.draw(st.sampled_from(others)))
    assert count_matches(identity, changed) == len(IDENTITY_CHOICES) - 1


@given(rngs, st.lists(identities, min_size=1, max_size=2))
def test_different_identities_differ_in_four_attributes_from_each_other(
    rng: np.random.Generator, others: list[Identity]
) -> None:
    new = different_identity(rng, tuple(others))
    assert all(count_matches(new, other) <= len(IDENTITY_CHOICES) - 4 for other in others)


def test_shares_are_kept() -> None:
    rng = np.random.default_rng(3)
    drawn = [pick_weighted(rng, {"a": 0.7, "b": 0.3}) for _ in range(4000)]
    assert drawn.count("a") / 4000 == pytest.approx(0.7, abs=0.03)
