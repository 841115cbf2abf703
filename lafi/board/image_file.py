"""Checks and decodes encoded image files.

Pillow reads the header when it opens a file, and the pixels only on request. So a file of
20,000 x 20,000 pixels is refused before its pixels take any memory.
"""

import hashlib
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from lafi.board.error import Verbatim
from lafi.board.limits import MAX_REFERENCE_BYTES, MAX_REFERENCE_SIDE, MIN_REFERENCE_SIDE

FORMATS = ("PNG", "JPEG", "WEBP")
SIDES_ALLOWED = f"{MIN_REFERENCE_SIDE} to {MAX_REFERENCE_SIDE} pixels a side"
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


class ImageFileError(ValueError):
    """An image is not accepted; `got` and `allowed` for its message."""

    def __init__(self, got: str, allowed: str) -> None:
        super().__init__(f"got {got}, allowed: {allowed}")
        self.got, self.allowed = Verbatim(got), allowed


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header of an image file: format (one of FORMATS), width and height in pixels."""

    format: str
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader:
    """The header of a PNG, JPEG or WebP file. Decodes no pixels. Raises `ImageFileError`."""
    with _opened(data) as image:
        return _header(image)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Opens the image, header only. Errors of Pillow inside become `ImageFileError`."""
    if not data:
        raise ImageFileError("an empty file", "a PNG, JPEG or WebP image")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except ImageFileError:
        raise
    except UnidentifiedImageError as error:
        got = f"{len(data)} bytes that are no image"
        raise ImageFileError(got, "a PNG, JPEG or WebP image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageFileError("an image of far too many pixels", SIDES_ALLOWED) from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, MemoryError) as error:
        reason = str(error).split("<", maxsplit=1)[0].strip() or type(error).__name__
        raise ImageFileError(f"a broken image ({reason})", "a whole image file") from error


def _header(image: Image.Image) -> ImageHeader:
    # MPO: a JPEG file with more pictures after the first one, as many phones write.
    kind = "JPEG" if image.format == "MPO" else image.format
    return ImageHeader(kind or "", *image.size)


def check_reference(data: bytes) -> Image.Image:
    """The image upright, as RGBA.

    Raises `ImageFileError` unless `data` is one decodable still image within the limits.
    """
    check_header(data)
    return decode(data)


def check_header(data: bytes) -> None:
    """Raise `ImageFileError` unless bytes and sides are within the limits. Decodes no pixels."""
    if len(data) > MAX_REFERENCE_BYTES:
        limit = MAX_REFERENCE_BYTES // 2**20
        raise ImageFileError(f"{len(data)} bytes", f"an image file of at most {limit} MiB")
    _check_sides(read_header(data))


def decode(data: bytes) -> Image.Image:
    """The image upright, as RGBA. Raises `ImageFileError` if it cannot be decoded."""
    with _opened(data) as image:
        header = _header(image)
        _check_sides(header)
        if header.format in ("PNG", "WEBP") and getattr(image, "is_animated", False):
            raise ImageFileError("an animated image", "a still image")
        if image.mode not in _MODES:
            raise ImageFileError(f"pixels of type {image.mode}", "8 bits a channel")
        image.load()
        return ImageOps.exif_transpose(image).convert("RGBA")


def _check_sides(header: ImageHeader) -> None:
    sides = (header.width, header.height)
    if not all(MIN_REFERENCE_SIDE <= side <= MAX_REFERENCE_SIDE for side in sides):
        got = f"a {header.format} image of {header.width} x {header.height} pixels"
        raise ImageFileError(got, SIDES_ALLOWED)


def rgba_pixels(data: bytes) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 4), upright; alpha is 255 if the file has none."""
    return np.asarray(decode(data), dtype=np.uint8)


def sha256_hex(data: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
