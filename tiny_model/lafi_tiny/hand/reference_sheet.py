"""Reference pictures of drawn characters, as a user would bring them."""

import io

import numpy as np

from lafi_tiny.hand.attributes import FACINGS, Identity, Scene, pick
from lafi_tiny.hand.figure import Figure
from lafi_tiny.hand.pen import UNITS
from lafi_tiny.hand.picture import SIDE, Picture, render
from lafi_tiny.hand.pose import CENTRES

REFERENCE_SCENE = Scene("room", "day")


def reference_png(identity: Identity, *, side: int = SIDE, seed: int = 0) -> bytes:
    """A PNG of (side, side) pixels: the character standing in a room by day, from the front."""
    figure = Figure(
        identity=identity,
        action="standing",
        pose=CENTRES["standing"],
        x=UNITS / 2,
        ground=117.0,
        scale=1.1,
        facing=pick(np.random.default_rng(seed), FACINGS),
    )
    picture = Picture("single", (figure,), (REFERENCE_SCENE,), seed)
    buffer = io.BytesIO()
    render(picture, side).save(buffer, format="PNG")
    return buffer.getvalue()
