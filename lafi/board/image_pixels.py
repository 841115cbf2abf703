"""An opened image's pixels as everything else here reads them: upright RGBA in sRGB.

Knows Pillow's modes and an image's metadata, neither files nor limits.
"""

import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from lafi.board.png_colours import PngColours, in_srgb

_ORIENTATION: Final = 0x0112
"""EXIF's tag; 1 is upright."""
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
"""TIFF's tag, and its value of pictures in which 0 is white."""
_TURNED: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIXTEEN_BITS: Final = ("I;16", "I;16L", "I;16B", "I;16N")
_GREY: Final = ("1", "L", "LA", *_SIXTEEN_BITS)
MODES: Final = (*_GREY, "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr")
"""Pillow's modes that are read."""
_ALIKE: Final = 1
"""Of 255: a profile that moves no colour by more is sRGB, and the pixels stay as they are."""


class ProfileError(ValueError):
    """The image's colour profile cannot be used; the text says why."""


def upright_rgba(image: Image.Image, depth: int, colours: PngColours | None = None) -> Image.Image:
    """A loaded image, upright, RGBA, its colours converted to sRGB if it has a profile.

    depth: bits of a channel in the file. Of 16 bits the upper 8 are taken, as Pillow does.
    colours: of a PNG file, in place of a profile. Raises ProfileError.
    """
    turn = _TURNED.get(_orientation(image))
    pixels = _rgba(image, depth)
    pixels = _in_srgb(image, pixels) if colours is None else in_srgb(pixels, colours)
    return pixels if turn is None else pixels.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """From EXIF or XMP; 1 where it is missing or cannot be read, as in every viewer."""
    try:
        found: Any = image.getexif().get(_ORIENTATION, 1)
        return int(found[0] if isinstance(found, tuple) else found)
    # Metadata of any shape: Pillow raises whatever its parser happens to meet.
    except Exception:
        return 1


def _rgba(image: Image.Image, depth: int) -> Image.Image:
    key = image.info.get("transparency")
    if image.mode in _GREY and isinstance(key, int):
        values = _grey_values(image)
        # Pillow scales values of few bits to 255, but of 2 and 4 not the one that is transparent.
        clear = key * 255 // (2**depth - 1) if depth in (2, 4) else key
        alpha = np.where(values == clear, 0, 255).astype(np.uint8)
        return Image.merge("LA", [_grey(image), Image.fromarray(alpha)]).convert("RGBA")
    if image.mode in _SIXTEEN_BITS:
        return _grey(image).convert("RGBA")
    if image.mode == "RGB" and isinstance(key, tuple) and depth == 16:
        image.info["transparency"] = tuple(part >> 8 for part in key)
    return image.convert("RGBA")


def _grey_values(image: Image.Image) -> npt.NDArray[Any]:
    """uint8, or uint16 of 16 bits, (H, W): from black to white."""
    if image.mode not in _SIXTEEN_BITS:
        return np.asarray(_grey(image))
    values: npt.NDArray[Any] = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    # Pillow turns TIFF's grey from white to black around at 8 bits, but not at 16.
    return 0xFFFF - values if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else values


def _grey(image: Image.Image) -> Image.Image:
    """8 bits, without alpha."""
    if image.mode in _SIXTEEN_BITS:
        return Image.fromarray((_grey_values(image) >> 8).astype(np.uint8))
    return image.convert("L")


def _in_srgb(image: Image.Image, pixels: Image.Image) -> Image.Image:
    """pixels: of the image, RGBA, in the colours of its profile."""
    from PIL import ImageCms

    given = image.info.get("icc_profile")
    if not given:
        return pixels
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(given))
        space = profile.profile.xcolor_space.strip().upper()
        source = _in_space(image, pixels, space)
        target = ImageCms.createProfile("sRGB")
        transform: Any = ImageCms.buildTransform(profile, target, source.mode, "RGB")
        if _changes_nothing(transform, source.mode):
            return pixels
        colours: Any = ImageCms.applyTransform(source, transform)
    except (OSError, ImageCms.PyCMSError) as error:
        raise ProfileError(f"cannot be read: {error}") from error
    colours.putalpha(pixels.getchannel("A"))
    return colours  # type: ignore[no-any-return]


def _in_space(image: Image.Image, pixels: Image.Image, space: str) -> Image.Image:
    """The image as the profile of that colour space reads it. Raises ProfileError."""
    if space == "CMYK" and image.mode == "CMYK":
        return image
    if space == "GRAY" and (image.mode in _GREY or _is_wide_grey(image, pixels)):
        return pixels.convert("L")
    if space == "RGB" and image.mode != "CMYK":
        return pixels.convert("RGB")
    raise ProfileError(f"is for {space} colours, the pixels are {image.mode}")


def _is_wide_grey(image: Image.Image, pixels: Image.Image) -> bool:
    """Pillow opens PNG's grey of 16 bits with alpha as RGBA whose colours are alike.

    So are those of a grey picture that was saved as RGBA with the grey profile that it had.
    """
    if image.mode != "RGBA":
        return False
    red, green, blue, _ = np.moveaxis(np.asarray(pixels), -1, 0)
    return bool((red == green).all() and (red == blue).all())


def _changes_nothing(transform: Any, mode: str) -> bool:
    """Whether no colour moves by more than `_ALIKE`; tried on colours all over the space."""
    if mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 9 if mode == "RGB" else 256).round().astype(np.uint8)
    if mode == "RGB":
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    else:
        grid = steps.reshape(16, 16)
    tried = Image.fromarray(grid)
    moved = np.asarray(transform.apply(tried), dtype=np.int16)
    return bool(np.abs(moved - np.asarray(tried.convert("RGB"), dtype=np.int16)).max() <= _ALIKE)
