"""What the core asks of a recogniser: pictures of characters as vectors.

Vectors are near each other where the character is the same. Knows pictures, not who is in them;
imports no torch.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lafi.board import image_file
from lafi.board.letterbox import Pixels, fit
from lafi.model.info import RecogniserInfo

Embeddings = npt.NDArray[np.float32]
"""(n, D), each row of unit length, so that the product of two rows is their cosine."""


class Recogniser(Protocol):
    """What turns pictures into embeddings, here or in a served model."""

    @property
    def info(self) -> RecogniserInfo:
        """Its sizes and threshold."""

    @property
    def sha256(self) -> str:
        """Of the network's file: embeddings of one recogniser mean nothing to another."""

    def __call__(self, pictures: Sequence[Pixels], /) -> Embeddings:
        """RGB uint8 (H, W, 3) of any sizes, one or more -> (n, D)."""


def letterboxed_row(
    data: bytes, side: int, decode: image_file.DecodePicture = image_file.decode
) -> npt.NDArray[np.float32]:
    """An image file as the network sees it, (3, S, S) float32 in [-1, 1].

    Raises `image_file.ImageFileError` for a file that is no allowed reference image.
    """
    image_file.check_header(data)
    return picture_row(fit(decode(data), side, side).pixels)


def picture_row(pixels: Pixels) -> npt.NDArray[np.float32]:
    """RGB uint8 (S, S, 3) as the network sees it, (3, S, S) float32 in [-1, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / 127.5 - 1.0
