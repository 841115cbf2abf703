"""Pictures: the same ones always, at any size, and what they are said to show."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lafi_tiny.hand.attributes import (
    ACTIONS,
    ARM_ACTIONS,
    EXPRESSIONS,
    IDENTITY_CHOICES,
    PROPS,
    Identity,
    Scene,
    count_matches,
    is_held_out_identity,
    is_held_out_setting,
    with_attribute,
)
from lafi_tiny.hand.figure import Figure
from lafi_tiny.hand.picture import KINDS, Picture, plain_picture, random_picture, render
from lafi_tiny.hand.pose import CENTRES, JITTER, action_centre
from lafi_tiny.hand.visibility import visible_attributes, visible_looks

seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(sorted(KINDS))


def drawn(seed: int, kind: str = "single", *, held_out: bool = False) -> Picture:
    return random_picture(np.random.default_rng(seed), kind, held_out=held_out)


def pixels(picture: Picture, side: int = 128) -> NDArray[np.int16]:
    return np.asarray(render(picture, side)).astype(np.int16)


def with_figure(picture: Picture, **changes: object) -> Picture:
    """The picture with its first figure changed."""
    first = replace(picture.figures[0], **changes)  # type: ignore[arg-type]
    return replace(picture, figures=(first, *picture.figures[1:]))


def changed(picture: Picture, other: Picture) -> int:
    """Pixels that differ."""
    return int((pixels(picture) != pixels(other)).any(axis=-1).sum())


@settings(max_examples=15, deadline=None)
@given(seeds, kinds)
def test_a_picture_is_always_the_same(seed: int, kind: str) -> None:
    assert np.array_equal(pixels(drawn(seed, kind)), pixels(drawn(seed, kind)))


@given(st.from_type(Identity), seeds, st.sampled_from(ACTIONS), st.sampled_from(["front", "side"]))
def test_a_plain_picture_shows_all_looks_that_can_be_seen(
    who: Identity, seed: int, action: str, view: str
) -> None:
    rng = np.random.default_rng(seed)
    picture = plain_picture(rng, who, action, Scene("farm", "rain"), view=view)
    (figure,) = picture.figures
    assert set(visible_looks(who, "front", "medium")) <= visible_attributes(picture, figure)
    assert (figure.identity, figure.action, figure.prop) == (who, action, "none")
    assert (figure.expression, figure.view) == ("neutral", view)


@settings(max_examples=15, deadline=None)
@given(seeds, kinds, st.sampled_from([192, 256]))
def test_it_is_the_same_picture_at_every_size(seed: int, kind: str, side: int) -> None:
    picture = drawn(seed, kind)
    image = render(picture, side)
    assert image.size == (side, side)
    small = np.asarray(image.resize((128, 128))).astype(np.int16)
    assert np.abs(small - pixels(picture)).mean() < 8


@settings(max_examples=40)
@given(seeds, kinds, st.booleans())
def test_everything_is_on_the_wanted_side_of_the_split(
    seed: int, kind: str, held_out: bool
) -> None:
    picture = drawn(seed, kind, held_out=held_out)
    for index, figure in enumerate(picture.figures):
        scene = picture.scenes[index if len(picture.scenes) > 1 else 0]
        assert is_held_out_identity(figure.identity) == held_out
        assert is_held_out_setting(figure.action, scene) == held_out


@pytest.mark.parametrize(
    ("kind", "figures", "scenes"),
    [("single", 1, 1), ("twins", 2, 1), ("strip", 2, 2), ("pair", 2, 1), ("trio", 3, 1)],
)
def test_a_kind_says_how_many_and_who(kind: str, figures: int, scenes: int) -> None:
    picture = drawn(5, kind)
    assert (len(picture.figures), len(picture.scenes)) == (figures, scenes)
    xs = [figure.x for figure in picture.figures]
    assert xs == sorted(xs)
    looks = {figure.identity for figure in picture.figures}
    assert len(looks) == (1 if kind in ("single", "twins", "strip") else figures)
    for first in picture.figures:
        for second in picture.figures:
            if kind in ("pair", "trio") and first is not second:
                assert count_matches(first.identity, second.identity) <= 5


@settings(max_examples=60)
@given(seeds)
def test_half_portraits_show_actions_of_the_arms_only(seed: int) -> None:
    picture = drawn(seed)
    assert picture.framing != "near" or picture.figures[0].action in ARM_ACTIONS


def test_all_framings_views_props_and_expressions_occur() -> None:
    pictures = [drawn(seed) for seed in range(400)]
    assert {p.framing for p in pictures} == {"near", "medium", "far"}
    for name, count in (("view", 3), ("prop", len(PROPS)), ("expression", len(EXPRESSIONS))):
        assert len({getattr(p.figures[0], name) for p in pictures}) == count


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from(sorted(IDENTITY_CHOICES)))
def test_every_visible_attribute_changes_the_picture(seed: int, name: str) -> None:
    picture = with_figure(drawn(seed), view="front", prop="none", scale=1.0, x=64.0, ground=116.0)
    picture = replace(picture, framing="medium")
    figure = picture.figures[0]
    now = getattr(figure.identity, name)
    value = next(v for v in IDENTITY_CHOICES[name] if v != now)
    other = with_figure(picture, identity=with_attribute(figure.identity, name, value))
    seen = visible_attributes(picture, figure) & visible_attributes(other, other.figures[0])
    if name in seen:
        assert changed(picture, other) > 20


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_expressions_are_told_apart_from_the_front(seed: int) -> None:
    picture = with_figure(drawn(seed), view="front", scale=1.0, x=64.0, ground=116.0, prop="none")
    faces = [with_figure(picture, expression=name) for name in EXPRESSIONS]
    for i, face in enumerate(faces):
        for other in faces[:i]:
            assert changed(face, other) > 15


@settings(max_examples=60)
@given(seeds)
def test_joints_stay_near_their_actions_centre(seed: int) -> None:
    figure: Figure = drawn(seed).figures[0]
    centre = action_centre(figure.action, figure.prop)
    for name in ("near_shoulder", "far_elbow", "near_hip", "far_knee"):
        assert abs(getattr(figure.pose, name) - getattr(centre, name)) <= JITTER


def test_the_two_arms_never_do_the_same_in_an_actions_centre() -> None:
    """Left and right can be told apart, since near and far limbs differ."""
    for pose in CENTRES.values():
        near = (pose.near_shoulder, pose.near_elbow, pose.near_hip, pose.near_knee)
        far = (pose.far_shoulder, pose.far_elbow, pose.far_hip, pose.far_knee)
        assert near != far
