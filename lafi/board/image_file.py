"""Encoded image files: what they say of themselves, and a reference image that can be trusted.

The size is read from the file's header by hand, so that a file of 20,000 x 20,000 pixels is
refused before any decoder has allocated memory for it.
"""

import hashlib
import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from lafi.board.error import Said
from lafi.board.limits import MAX_REFERENCE_BYTES, MAX_REFERENCE_SIDE, MIN_REFERENCE_SIDE

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
FORMATS = ("PNG", "JPEG", "WEBP")
SIDES_ALLOWED = f"{MIN_REFERENCE_SIDE} to {MAX_REFERENCE_SIDE} pixels a side"
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


class ImageFileError(ValueError):
    """`got` and `allowed` of one image that is not accepted."""

    def __init__(self, got: str, allowed: str) -> None:
        super().__init__(f"got {got}, allowed: {allowed}")
        self.got, self.allowed = Said(got), allowed


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the first bytes of a file say: format (one of FORMATS), width and height in pixels."""

    format: str
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader:
    """The header of a PNG, JPEG or WebP file. Decodes nothing. Raises `ImageFileError`."""
    try:
        if data.startswith(PNG_SIGNATURE):
            return ImageHeader("PNG", *_png_size(data))
        if data.startswith(b"\xff\xd8\xff"):
            return ImageHeader("JPEG", *_jpeg_size(data))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return ImageHeader("WEBP", *_webp_size(data))
    except (struct.error, IndexError) as error:
        raise ImageFileError("an image cut off in its header", "a whole image file") from error
    got = f"{len(data)} bytes that are no image" if data else "an empty file"
    raise ImageFileError(got, "a PNG, JPEG or WebP image")


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return int(width), int(height)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """From the frame header, the first segment with one of its markers."""
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1
        marker, length = data[at + 1], *struct.unpack_from(">H", data, at + 2)
        if data[at] != 0xFF or length < 2:
            raise ImageFileError("a JPEG file with a broken header", "a whole image file")
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return int(width), int(height)
        at += 2 + length


def _webp_size(data: bytes) -> tuple[int, int]:
    """From the first chunk: lossy (VP8), lossless (VP8L) or extended (VP8X)."""
    chunk = data[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1
    raise ImageFileError("a WebP file with a broken header", "a whole image file")


def check_reference(data: bytes) -> None:
    """Raise `ImageFileError` unless `data` is one decodable still image within the limits."""
    check_header(data)
    decode(data)


def check_header(data: bytes) -> None:
    """Raise `ImageFileError` unless bytes and sides are within the limits. Decodes nothing."""
    if len(data) > MAX_REFERENCE_BYTES:
        limit = MAX_REFERENCE_BYTES // 2**20
        raise ImageFileError(f"{len(data)} bytes", f"an image file of at most {limit} MiB")
    header = read_header(data)
    _check_sides(header.format, header.width, header.height)


def decode(data: bytes) -> Image.Image:
    """The image upright, as RGBA. Raises `ImageFileError` where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_sides(image.format or "", *image.size)
            if image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False):
                raise ImageFileError("an animated image", "a still image")
            if image.mode not in _MODES:
                raise ImageFileError(f"pixels of type {image.mode}", "8 bits a channel")
            image.load()
            return ImageOps.exif_transpose(image).convert("RGBA")
    except ImageFileError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, MemoryError) as error:
        reason = str(error).split("<", maxsplit=1)[0].strip() or type(error).__name__
        raise ImageFileError(f"a broken image ({reason})", "a whole image file") from error


def _check_sides(kind: str, width: int, height: int) -> None:
    if not all(MIN_REFERENCE_SIDE <= side <= MAX_REFERENCE_SIDE for side in (width, height)):
        raise ImageFileError(f"a {kind} image of {width} x {height} pixels", SIDES_ALLOWED)


def rgba_pixels(data: bytes) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 4), upright, alpha 255 where the file has none."""
    return np.asarray(decode(data), dtype=np.uint8)


def sha256_hex(data: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
