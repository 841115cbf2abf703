"""Reference pictures of drawn characters, as a user would bring them."""

import io

import numpy as np

from lafi_tiny.attributes import Identity, Scene
from lafi_tiny.picture import Figure, Picture, render
from lafi_tiny.pose import CENTRES

REFERENCE_SCENE = Scene("room", "day")


def reference_png(identity: Identity, *, side: int = 64, seed: int = 0) -> bytes:
    """A PNG of (side, side) pixels: the character standing in a room by day."""
    unit = side / 64
    figure = Figure(
        identity=identity,
        action="standing",
        pose=CENTRES["standing"],
        x=side / 2,
        ground=58 * unit,
        scale=unit,
        facing=str(np.random.default_rng(seed).choice(["left", "right"])),
    )
    picture = Picture("single", (figure,), (REFERENCE_SCENE,), seed)
    buffer = io.BytesIO()
    render(picture, side).save(buffer, format="PNG")
    return buffer.getvalue()
