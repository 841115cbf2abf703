"""Fits a picture into a rectangle: whole, centred, proportions kept, on mid-grey.

Knows pixels. Imports no torch, so that served models without torch start fast.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
"""RGB uint8 (H, W, 3)."""

_MID_GREY = (128, 128, 128)


class Letterboxed(NamedTuple):
    """pixels: RGB uint8 (H, W, 3). alpha: uint8 (H, W), the foreground, 0 in the padding."""

    pixels: Pixels
    alpha: npt.NDArray[np.uint8]


def fit(image: Image.Image, width: int, height: int) -> Letterboxed:
    """An RGBA image in width x height pixels; an image of this size keeps its pixels."""
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    corner = ((width - size[0]) // 2, (height - size[1]) // 2)
    # The colour of transparent pixels is arbitrary, so it is removed before scaling mixes pixels.
    opaque = Image.new("RGB", image.size, _MID_GREY)
    opaque.paste(image, mask=image.getchannel("A"))
    alpha = image.getchannel("A")
    if size != image.size:
        opaque = opaque.resize(size, Image.Resampling.LANCZOS)
        alpha = alpha.resize(size, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (width, height), _MID_GREY)
    canvas.paste(opaque, corner)
    mask = Image.new("L", (width, height), 0)
    mask.paste(alpha, corner)
    return Letterboxed(np.array(canvas, dtype=np.uint8), np.array(mask, dtype=np.uint8))


def fit_pixels(pixels: Pixels, width: int, height: int) -> Pixels:
    """Like `fit`, for RGB uint8 (H, W, 3), which is all foreground."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return fit(Image.fromarray(pixels, mode="RGB").convert("RGBA"), width, height).pixels
