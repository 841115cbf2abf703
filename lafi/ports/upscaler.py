"""What the core asks of an upscaler: finished pictures, enlarged. Imports no torch."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lafi.model.upscaler_files import UpscalerInfo

Pictures = npt.NDArray[np.uint8]
"""RGB (B, H, W, 3)."""


class Upscaler(Protocol):
    """What enlarges pictures, here or in a served model."""

    @property
    def info(self) -> UpscalerInfo:
        """Its networks and their factors."""

    def __call__(self, pictures: Pictures, factor: int, /) -> Pictures:
        """(B, H, W, 3) -> (B, factor * H, factor * W, 3), each picture by itself.

        Raises ValueError for a factor for which it has no network.
        """
