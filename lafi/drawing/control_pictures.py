"""What control networks and adapters see of a panel: pictures and poses, at the size of a stage.

Knows pixels, not networks.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from lafi.board.control import Control
from lafi.board.letterbox import Pixels, fit
from lafi.board.pose import skeleton_picture

CANNY: Final = (100, 200)
"""Thresholds of `cv2.Canny`, as ControlNet's authors prepared pictures of edges."""


def control_pixels(control: Control, width: int, height: int) -> Pixels:
    """RGB uint8 (H, W, 3): the picture whole and centred, beside it and behind it black.

    A picture of this very size keeps its pixels.
    """
    if control.pose is not None:
        return np.array(skeleton_picture(control.pose, width, height), dtype=np.uint8)
    assert control.image is not None
    image = control.image.image()
    opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
    opaque.alpha_composite(image)
    fitted = fit(opaque, width, height)
    inside = fitted.alpha > 0
    pixels = np.where(inside[..., None], fitted.pixels, np.uint8(0))
    if control.prepare == "canny":
        # Without the padding, whose border would be an edge.
        part = np.ix_(*(np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0)))
        edges = np.zeros((height, width), np.uint8)
        edges[part] = _edges(pixels[part])
        pixels = np.repeat(edges[..., None], 3, axis=2)
    return pixels


def _edges(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) -> (H, W), 255 on an edge and 0 elsewhere."""
    # Imported here, since nothing else of drawing needs it.
    import cv2

    return np.asarray(cv2.Canny(np.ascontiguousarray(pixels), *CANNY), dtype=np.uint8)


def control_tensor(pixels: Pixels, channels: int = 3) -> Tensor:
    """RGB uint8 (H, W, 3) -> (1, C, H, W) float32 in [0, 1], as a network takes it.

    channels: C, 3 for RGB, or 1 for its luma, as Pillow computes it.
    """
    if channels == 1:
        pixels = np.asarray(Image.fromarray(pixels, mode="RGB").convert("L"))[..., None]
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)
    return torch.from_numpy(planes)[None]
