"""How far two pictures of the same panel are apart."""

import io

import numpy as np
from PIL import Image

EQUAL = 100.0
"""dB for equal pictures, and the upper limit for any pair."""


def psnr(one: bytes, other: bytes) -> float:
    """dB between two PNG files of one size, over RGB in [0, 255].

    Raises ValueError for pictures of different sizes.
    """
    left, right = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in (one, other))
    if left.shape != right.shape:
        raise ValueError(f"pictures: got {left.shape} and {right.shape}, allowed: one size")
    mse = float(np.mean((left.astype(np.float64) - right) ** 2))
    return EQUAL if mse == 0 else min(EQUAL, float(10 * np.log10(255.0**2 / mse)))
