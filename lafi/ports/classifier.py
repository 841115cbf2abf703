"""What the core asks of a picture classifier. Imports no torch."""

from collections.abc import Sequence
from io import BytesIO
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from lafi.board.letterbox import Pixels
from lafi.model.classifier_files import ClassifierInfo

Scores = npt.NDArray[np.float32]
"""(n,) in [0, 1]: how likely a picture is not safe for work."""
SIDE: Final = 224
"""Pixels of the square that the network sees."""
_WHOLE: Final = 256
_EDGE: Final = (_WHOLE - SIDE) // 2


class PictureClassifier(Protocol):
    """What judges pictures, here or in a served model."""

    @property
    def info(self) -> ClassifierInfo:
        """Its name and threshold."""

    def __call__(self, pictures: Sequence[Pixels], /) -> Scores:
        """RGB uint8 (H, W, 3) of any sizes, one or more -> (n,)."""


def classifier_row(pixels: Pixels) -> Pixels:
    """The part of a picture that the network sees, RGB uint8 (224, 224, 3).

    As open_nsfw was made to see pictures: 256 x 256, its middle, once through JPEG.
    """
    whole = Image.fromarray(pixels).resize((_WHOLE, _WHOLE), Image.Resampling.BILINEAR)
    middle = whole.crop((_EDGE, _EDGE, _EDGE + SIDE, _EDGE + SIDE))
    with BytesIO() as file:
        middle.save(file, format="JPEG")
        with Image.open(file) as image:
            return np.asarray(image, dtype=np.uint8).copy()
