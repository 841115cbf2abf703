"""Pictures: who, what, where, and that all of it stays inside."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.attributes import (
    Identity,
    count_matches,
    is_held_out_identity,
    is_held_out_setting,
)
from lafi_tiny.figure import half_width
from lafi_tiny.picture import KINDS, Kind, Picture, random_picture, render
from lafi_tiny.pose import CENTRES, solve

quick = settings(max_examples=60, deadline=None)
drawn = settings(max_examples=10, deadline=None)
rngs = st.from_type(np.random.Generator)
kinds = st.sampled_from(list(KINDS))
LEAVES_BY = 4.0
"""Hands and feet may leave the picture by this many pixels; nothing else may leave it."""


@quick
@given(rngs, kinds, st.booleans())
def test_every_figure_is_on_the_wanted_side_of_the_held_out_split(
    rng: np.random.Generator, kind: Kind, held_out: bool
) -> None:
    picture = random_picture(rng, kind, held_out=held_out)
    scenes = picture.scenes if kind == "strip" else picture.scenes * len(picture.figures)
    for figure, scene in zip(picture.figures, scenes, strict=True):
        assert is_held_out_identity(figure.identity) == held_out
        assert is_held_out_setting(figure.action, scene) == held_out


@quick
@given(rngs, kinds)
def test_twins_and_strips_show_one_character_and_pairs_two(
    rng: np.random.Generator, kind: Kind
) -> None:
    picture = random_picture(rng, kind)
    assert len(picture.figures) == (1 if kind == "single" else 2)
    assert len(picture.scenes) == (2 if kind == "strip" else 1)
    first, last = picture.figures[0], picture.figures[-1]
    if kind == "pair":
        assert count_matches(first.identity, last.identity) <= 4
    else:
        assert first.identity == last.identity
    assert first.x <= last.x


@quick
@given(rngs, kinds, st.booleans(), st.sampled_from([64, 96]))
def test_figures_stay_in_the_picture(
    rng: np.random.Generator, kind: Kind, held_out: bool, side: int
) -> None:
    picture = random_picture(rng, kind, held_out=held_out, side=side)
    unit = side / 64
    for figure in picture.figures:
        bones = solve(
            figure.pose,
            x=figure.x,
            ground=figure.ground,
            scale=figure.scale,
            facing=figure.facing,
            half_width=half_width(figure.identity),
        )
        limbs = (bones.near_arm, bones.far_arm, bones.near_leg, bones.far_leg)
        inside = [bones.hip, bones.neck, bones.head, *(p for limb in limbs for p in limb[:2])]
        for x, y in inside:
            assert 0 <= x <= side
            assert 0 <= y <= side
        for x, y in (limb[2] for limb in limbs):
            assert -LEAVES_BY * unit <= x <= side + LEAVES_BY * unit
            assert 0 <= y <= side


@drawn
@given(rngs, kinds)
def test_rendering_is_a_function_of_the_picture(rng: np.random.Generator, kind: Kind) -> None:
    picture = random_picture(rng, kind)
    image = render(picture)
    assert (image.mode, image.size) == ("RGB", (64, 64))
    assert image.tobytes() == render(picture).tobytes()


@drawn
@given(rngs, kinds)
def test_the_background_has_its_own_seed(rng: np.random.Generator, kind: Kind) -> None:
    picture = random_picture(rng, kind)
    elsewhere = [replace(picture, scene_seed=picture.scene_seed ^ k) for k in range(4)]
    assert len({render(p).tobytes() for p in elsewhere}) > 1


@drawn
@given(rngs, kinds)
def test_facing_the_other_way_is_another_picture(rng: np.random.Generator, kind: Kind) -> None:
    picture = random_picture(rng, kind)
    turned = replace(
        picture,
        figures=tuple(
            replace(f, facing="left" if f.facing == "right" else "right") for f in picture.figures
        ),
    )
    a, b = (np.asarray(render(p), dtype=int) for p in (picture, turned))
    assert (np.abs(a - b).max(axis=-1) > 30).sum() > 20


@drawn
@given(rngs)
def test_the_left_panel_of_a_strip_does_not_know_the_right_one(rng: np.random.Generator) -> None:
    strip = random_picture(rng, "strip")
    left, right = strip.figures
    moved = replace(right, facing="left" if right.facing == "right" else "right")
    a, b = (np.asarray(render(p)) for p in (strip, replace(strip, figures=(left, moved))))
    assert np.array_equal(a[:, :32], b[:, :32])
    assert (a[:, 31:33] == 255).all()


def test_kinds_are_shares_of_one() -> None:
    assert sum(KINDS.values()) == pytest.approx(1)
    assert min(KINDS.values()) > 0


def test_only_who_sits_has_a_stool() -> None:
    rng = np.random.default_rng(3)
    picture = random_picture(rng, "single")
    wood = (150, 104, 66)
    assert wood not in _colours(_with_action(picture, "standing"))
    assert wood in _colours(_with_action(picture, "sitting"))


def _with_action(picture: Picture, action: str) -> Picture:
    who = Identity("pale", "black", "short", "red", "plain", "navy", "none", "slim")
    figure = replace(picture.figures[0], action=action, pose=CENTRES[action], identity=who)
    return replace(picture, figures=(figure,))


def _colours(picture: Picture) -> set[tuple[int, ...]]:
    return {colour for _, colour in render(picture).getcolors(64 * 64)}
