"""How far one picture is from another, by its layout and by its texture.

All pictures are RGB uint8 (H, W, 3) of one size. Knows no model.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from lafi.board.letterbox import Pixels

Floats = npt.NDArray[np.float64]

CELLS: Final = 8
"""Cells along a side whose mean colours are a picture's layout."""
PATCH: Final = 5
"""Side of the patches that are a picture's texture."""
_DIRECTIONS: Final = 64
_QUANTILES: Final = 256
MOST_PSNR: Final = 99.0
"""What equal pictures get, in dB."""


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, at most 99."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    if error == 0.0:
        return MOST_PSNR
    return min(MOST_PSNR, float(10.0 * np.log10(255.0**2 / error)))


def layout_gain(plain: Pixels, changed: Pixels, reference: Pixels) -> float:
    """How far a picture's layout went from `plain` towards `reference`: 0 nowhere, 1 all the way.

    The layout is the mean colour of 8 x 8 cells; only the way along the straight line counts.
    """
    before, after, goal = (_cells(picture) for picture in (plain, changed, reference))
    way = goal - before
    length = float((way**2).sum())
    return float(((after - before) * way).sum()) / length if length > 0.0 else 0.0


def texture_gain(plain: Pixels, changed: Pixels, reference: Pixels) -> float:
    """The share by which a picture's texture came closer to the reference's, wherever it lies.

    1 is the same texture, 0 is as far as `plain`, less is further away. The distance is the sliced
    Wasserstein distance of small patches without their mean (arXiv:1710.10196, section 5).
    """
    goal = _quantiles(reference)
    before, after = (_distance(_quantiles(picture), goal) for picture in (plain, changed))
    return (before - after) / before if before > 0.0 else 0.0


def _cells(picture: Pixels) -> Floats:
    high, wide = picture.shape[:2]
    rows, columns = (np.linspace(0, side, CELLS + 1).astype(int) for side in (high, wide))
    sums = np.add.reduceat(
        np.add.reduceat(picture.astype(np.float64), rows[:-1], axis=0), columns[:-1], axis=1
    )
    sizes: Floats = np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None] * 255.0
    cells: Floats = sums / sizes
    return cells


def _quantiles(picture: Pixels) -> Floats:
    """Of all patches along each direction, (256, directions)."""
    pixels = picture.astype(np.float64) / 255.0
    rows = np.lib.stride_tricks.sliding_window_view(pixels, PATCH, axis=0)
    windows = np.lib.stride_tricks.sliding_window_view(rows, PATCH, axis=1)
    patches = windows.reshape(-1, pixels.shape[2], PATCH * PATCH)
    details = (patches - patches.mean(axis=2, keepdims=True)).reshape(len(patches), -1)
    directions = np.random.default_rng(0).normal(size=(details.shape[1], _DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    found: Floats = np.quantile(details @ directions, shares, axis=0)
    return found


def _distance(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).mean())
