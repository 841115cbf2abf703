"""One character in pixels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lafi_tiny.attributes import (
    ACTIONS,
    HAIR,
    IDENTITY_CHOICES,
    SKIN,
    TOP,
    TROUSERS,
    Identity,
    with_attribute,
)
from lafi_tiny.figure import OVERSAMPLE, draw_figure, half_width
from lafi_tiny.pose import CENTRES, Pose

quick = settings(max_examples=12, deadline=None)
identities = st.from_type(Identity)
GREY = (128, 128, 128)
SIDE = 64
PLAIN = Identity("tan", "black", "short", "red", "plain", "navy", "none", "slim")


def _drawn(identity: Identity, pose: Pose, facing: str = "right") -> NDArray[np.uint8]:
    """RGB uint8 (256, 256, 3): a figure in the middle of a grey canvas."""
    canvas = Image.new("RGB", (SIDE * OVERSAMPLE, SIDE * OVERSAMPLE), GREY)
    draw_figure(canvas, identity, pose, x=32, ground=58, scale=1, facing=facing)
    return np.asarray(canvas)


def _colours(pixels: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    image = Image.fromarray(pixels)
    return {colour for _, colour in image.getcolors(image.width * image.height)}


@quick
@given(identities, st.sampled_from(ACTIONS), st.data())
def test_every_attribute_can_be_seen(identity: Identity, action: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(IDENTITY_CHOICES)))
    present = getattr(identity, name)
    other = data.draw(st.sampled_from([v for v in IDENTITY_CHOICES[name] if v != present]))
    changed = with_attribute(identity, name, other)
    a, b = (_drawn(who, CENTRES[action]) for who in (identity, changed))
    pixels = OVERSAMPLE**2
    assert (a != b).any(axis=-1).sum() >= 2 * pixels


@quick
@given(identities, st.sampled_from(ACTIONS))
def test_skin_hair_top_and_trousers_have_their_colours(identity: Identity, action: str) -> None:
    seen = _colours(_drawn(identity, CENTRES[action]))
    wanted = {
        SKIN[identity.skin],
        HAIR[identity.hair],
        TOP[identity.top],
        TROUSERS[identity.trousers],
    }
    assert wanted <= seen


@quick
@given(identities, st.sampled_from(ACTIONS))
def test_left_and_right_are_told_apart_and_are_nearly_mirrored(
    identity: Identity, action: str
) -> None:
    right, left = (_drawn(identity, CENTRES[action], f) for f in ("right", "left"))
    assert (right != left).any(axis=-1).sum() >= 10 * OVERSAMPLE**2
    inked = [(p != GREY).any(axis=-1) for p in (right, left[:, ::-1])]
    assert (inked[0] != inked[1]).mean() < 0.02


def test_the_same_figure_is_the_same_pixels() -> None:
    pose = CENTRES["running"]
    assert np.array_equal(_drawn(PLAIN, pose), _drawn(PLAIN, pose))


def test_a_stout_child_is_wider() -> None:
    stout = with_attribute(PLAIN, "build", "stout")
    assert half_width(stout) > half_width(PLAIN)
    inked = [
        (_drawn(who, CENTRES["standing"]) != GREY).any(axis=-1).sum() for who in (PLAIN, stout)
    ]
    assert inked[1] > inked[0]


def test_sleeves_show_the_pattern_of_the_top() -> None:
    """A raised arm, away from the body, has stripes in both colours."""
    striped = with_attribute(PLAIN, "pattern", "striped")
    pixels = _drawn(striped, CENTRES["cheering"])
    above_the_neck = pixels[: round((58 - 15 - 13 - 1) * OVERSAMPLE)]
    assert {TOP["red"], (250, 250, 250)} <= _colours(above_the_neck)
