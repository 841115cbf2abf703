"""Checks and decodes encoded image files.

Pillow reads the header when it opens a file, and the pixels only on request. So a file of
20,000 x 20,000 pixels is refused before its pixels take any memory.
"""

import hashlib
import io
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, features

from lafi.board.error import Verbatim
from lafi.board.image_pixels import MODES, ProfileError, upright_rgba
from lafi.board.limits import MAX_REFERENCE_BYTES, MAX_REFERENCE_SIDE, MIN_REFERENCE_SIDE
from lafi.board.png_colours import ColourError, png_colours

T = TypeVar("T")
DecodePicture = Callable[[bytes], Image.Image]
"""`decode`, or what does the same elsewhere."""
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF")
FORMAT_NAMES = "a PNG, JPEG, WebP, AVIF, GIF or TIFF"
ALLOWED = f"{FORMAT_NAMES} image"
SIDES_ALLOWED = f"{MIN_REFERENCE_SIDE} to {MAX_REFERENCE_SIDE} pixels a side"
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_KNOWN = {
    "a git-lfs pointer, not the picture itself (`git lfs pull` gets it)": re.compile(
        rb"version https://git-lfs"
    ),
    "a HEIC image": re.compile(rb".{4}ftyp(?:hei|mif1|msf1)", re.DOTALL),
    "a video": re.compile(rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", re.DOTALL),
    "a JPEG XL image": re.compile(rb"\xff\x0a|\0{3}\x0cJXL "),
    "a JPEG 2000 image": re.compile(rb"\xff\x4f\xff\x51|\0{3}\x0cjP  "),
    "a Photoshop document": re.compile(rb"8BPS"),
    "an icon": re.compile(rb"\0\0[\1\2]\0"),
    "a web page": re.compile(rb"\s*<(?:!doctype html|html)", re.IGNORECASE),
    "a TIFF image of a kind that is not read": re.compile(rb"II\*\0|MM\0\*"),
    "a BMP image": re.compile(rb"BM.{4}\0{4}", re.DOTALL),
    "an SVG drawing": re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<svg"),
    "a PDF document": re.compile(rb"%PDF-"),
}
"""What people bring beside FORMATS, by how its file begins."""


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


class _BrokenFile(ImageFileError):
    """Pillow could not read it; maybe only its metadata are at fault."""


def read_header(data: bytes) -> ImageHeader:
    """The header of an image file. Decodes no pixels. Raises `ImageFileError`."""
    return _forgiving(_read_header, data)


def _read_header(data: bytes) -> ImageHeader:
    with _opened(data) as image:
        return _header(image)


def _forgiving(read: Callable[[bytes], T], data: bytes) -> T:
    """What `read` gives; where it fails, without the texts in a PNG file, which hold no pixels."""
    try:
        return read(data)
    except _BrokenFile as refused:
        bare = _without_texts(data)
        if bare is None:
            raise
        try:
            return read(bare)
        except ImageFileError:
            raise refused from None


def _without_texts(data: bytes) -> bytes | None:
    """A PNG file without its text chunks; None for other files and where there are none."""
    if not data.startswith(_PNG):
        return None
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        end = place + 12 + int(struct.unpack_from(">I", data, place)[0])
        if data[place + 4 : place + 8] not in _TEXTS:
            kept.append(data[place:end])
        place = end
    bare = b"".join(kept)
    return None if len(bare) >= min(place, len(data)) else bare


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Opens the image, header only. Errors of Pillow inside become `ImageFileError`."""
    if not data:
        raise ImageFileError("an empty file", ALLOWED)
    part = "header"
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            part = "picture"
            yield image
    except ImageFileError:
        raise
    except UnidentifiedImageError as error:
        known = (name for name, begins in _KNOWN.items() if begins.match(data))
        raise _BrokenFile(next(known, f"{len(data)} bytes that are no image"), ALLOWED) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageFileError("an image of far too many pixels", SIDES_ALLOWED) from error
    except ColourError as error:
        got = f"an image with colours of {error}"
        raise ImageFileError(got, "sRGB, or colours that its profile leads to it") from error
    except ProfileError as error:
        got, allowed = f"an image whose colour profile {error}", "one that fits its pixels, or none"
        raise ImageFileError(got, allowed) from error
    # Pillow raises whatever its parsers meet in a damaged file.
    except Exception as error:
        reason = str(error).split("<", maxsplit=1)[0].strip() or type(error).__name__
        what = f"an image with a broken {part}"
        if "truncated" in reason.lower():
            what = "a file that ends too early"
        raise _BrokenFile(f"{what} ({reason})", "a whole image file") from error


def _formats() -> tuple[str, ...]:
    """FORMATS, without what this Pillow was built without."""
    return tuple(name for name in FORMATS if name != "AVIF" or features.check("avif"))


def _header(image: Image.Image) -> ImageHeader:
    # MPO: a JPEG file with more pictures after the first one, as many phones write.
    kind = "JPEG" if image.format == "MPO" else image.format
    return ImageHeader(kind or "", *image.size)


def check_header(data: bytes) -> None:
    """Raise `ImageFileError` unless bytes and sides are within the limits. Decodes no pixels."""
    if len(data) > MAX_REFERENCE_BYTES:
        limit = MAX_REFERENCE_BYTES // 2**20
        raise ImageFileError(f"{len(data)} bytes", f"an image file of at most {limit} MiB")
    _check_sides(read_header(data))


def decode(data: bytes) -> Image.Image:
    """The image upright, as RGBA in sRGB; the first picture of a GIF file.

    Raises `ImageFileError` if it cannot be decoded.
    """
    return _forgiving(_decode, data)


def _decode(data: bytes) -> Image.Image:
    with _opened(data) as image:
        header = _header(image)
        _check_sides(header)
        if header.format not in ("GIF", "JPEG") and getattr(image, "is_animated", False):
            pages = header.format == "TIFF"
            got = "an image of several pages" if pages else "an animated image"
            raise ImageFileError(got, "a single page" if pages else "a still image")
        if image.mode not in MODES:
            raise ImageFileError(f"pixels of type {image.mode}", "8 or 16 bits a channel")
        image.load()
        png = header.format == "PNG"
        colours = png_colours(image.info, data) if png else None
        return upright_rgba(image, data[24] if png else 8, colours)


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
