"""Fresh pictures for training, with a map of where it matters that they come out right."""

import numpy as np
from numpy.typing import NDArray

from lafi_tiny.hand.attributes import pick_weighted
from lafi_tiny.hand.pen import UNITS
from lafi_tiny.hand.picture import KINDS, Picture, random_picture, render

HEAD_WEIGHT, BODY_WEIGHT = 4.0, 1.0
"""What a head and a body add to the weight 1 of the rest."""


def picture_of(seed: int, index: int, *, held_out: bool = False, free: float = 0.0) -> Picture:
    """Picture `index` of a seed, always the same; `free` is the share of free poses."""
    rng = np.random.default_rng([seed, index])
    kind = pick_weighted(rng, KINDS)
    return random_picture(rng, kind, held_out=held_out, free=rng.random() < free)


def weight_map(picture: Picture, side: int) -> NDArray[np.float32]:
    """(side, side): 1, more where characters are, most where their heads are."""
    weights = np.ones((side, side), np.float32)
    k = side / UNITS

    def add(left: float, top: float, right: float, bottom: float, value: float) -> None:
        rows = slice(max(0, int(top * k)), max(0, int(bottom * k)))
        weights[rows, max(0, int(left * k)) : max(0, int(right * k))] += value

    for figure in picture.figures:
        bones, s = figure.skeleton(), figure.scale
        x, y = bones.head
        add(x - 15 * s, y - 15 * s, x + 15 * s, y + 15 * s, HEAD_WEIGHT)
        add(x - 22 * s, y, x + 22 * s, figure.ground + 4 * s, BODY_WEIGHT)
    return weights


def cropped(
    picture: Picture, side: int, window: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture of `side` pixels cut to (window, window): RGB uint8 and its weights."""
    pixels, weights = np.asarray(render(picture, side)), weight_map(picture, side)
    x, y = (int(v) for v in rng.integers(side - window + 1, size=2))
    cut = (slice(y, y + window), slice(x, x + window))
    return pixels[cut], weights[cut]
