"""What cannot be seen is not counted: changing it changes no pixel."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import (
    EXPRESSIONS,
    IDENTITY_NAMES,
    Identity,
    with_attribute,
)
from lafi_tiny.hand.picture import Picture, random_picture, render
from lafi_tiny.hand.visibility import visible_attributes, visible_joints, visible_looks

seeds = st.integers(0, 2**32 - 1)
WHO = Identity("tan", "red", "short", "blue", "striped", "shorts", "navy", "none", "slim")


def picture_of(seed: int, **changes: object) -> Picture:
    picture = random_picture(np.random.default_rng(seed), "single")
    figure = replace(picture.figures[0], scale=1.0, x=64.0, ground=116.0, prop="none")
    figure = replace(figure, **changes)  # type: ignore[arg-type]
    return replace(picture, figures=(figure,), framing="medium")


def same(one: Picture, other: Picture) -> bool:
    return np.array_equal(np.asarray(render(one)), np.asarray(render(other)))


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from(EXPRESSIONS))
def test_no_expression_from_behind(seed: int, expression: str) -> None:
    picture = picture_of(seed, view="back", expression="neutral")
    assert "expression" not in visible_attributes(picture, picture.figures[0])
    assert same(picture, picture_of(seed, view="back", expression=expression))


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_no_glasses_from_behind(seed: int) -> None:
    bare, glasses = (
        picture_of(seed, view="back", identity=with_attribute(WHO, "accessory", name))
        for name in ("none", "glasses")
    )
    assert "accessory" not in visible_attributes(bare, bare.figures[0])
    assert same(bare, glasses)


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from(["bun", "spiky"]), st.sampled_from(["front", "side", "back"]))
def test_a_cap_hides_short_hair_and_buns_and_spikes(seed: int, style: str, view: str) -> None:
    capped = with_attribute(WHO, "accessory", "cap")
    short = picture_of(seed, view=view, identity=capped)
    other = picture_of(seed, view=view, identity=with_attribute(capped, "hairstyle", style))
    assert "hairstyle" not in visible_attributes(short, short.figures[0])
    assert same(short, other)


@pytest.mark.parametrize(
    ("framing", "view", "hidden"),
    [
        ("medium", "front", set()),
        ("near", "front", {"garment", "bottom"}),
        ("near", "back", {"garment", "bottom", "skin", "accessory"}),
        ("far", "front", {"pattern", "accessory"}),
    ],
)
def test_framing_and_view_hide(framing: str, view: str, hidden: set[str]) -> None:
    assert set(visible_looks(WHO, view, framing)) == set(IDENTITY_NAMES) - hidden


def test_a_prop_out_of_the_picture_is_not_seen() -> None:
    inside = picture_of(1, prop="ball", action="standing")
    outside = picture_of(1, prop="ball", action="standing", x=-40.0)
    assert "prop" in visible_attributes(inside, inside.figures[0])
    assert "prop" not in visible_attributes(outside, outside.figures[0])


def test_half_portraits_have_no_legs_and_small_figures_no_joints() -> None:
    near = replace(picture_of(2), framing="near")
    assert not {"near_hip", "far_knee"} & visible_joints(near, near.figures[0])
    small = picture_of(2, scale=0.5)
    assert visible_joints(small, small.figures[0]) == frozenset()
    assert "expression" not in visible_attributes(small, small.figures[0])


@settings(max_examples=50)
@given(seeds, st.sampled_from(["single", "twins", "pair", "strip", "trio"]))
def test_something_can_always_be_seen(seed: int, kind: str) -> None:
    picture = random_picture(np.random.default_rng(seed), kind)
    for figure in picture.figures:
        assert {"top", "build", "action", "view"} <= visible_attributes(picture, figure)
