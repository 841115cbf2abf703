"""Colours of PNG files without a profile: what their chunks cICP, gAMA and cHRM say.

The order in which they count is that of the PNG specification, third edition, section 4.3. Knows
chunks and pixels, no profiles.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]
_D65: Final = (0.3127, 0.3290)
_SRGB: Final = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""x and y of white, red, green and blue, as in cHRM."""
_PRIMARIES: Final[Mapping[int, tuple[float, ...]]] = {
    1: _SRGB,
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""Of ITU-T H.273, table 2: BT.709 and sRGB, BT.2020, Display P3."""
_CURVES: Final[Mapping[int, float | None]] = {4: 2.2, 5: 2.8, 8: 1.0, 13: None}
"""Of H.273, table 3: number -> exponent of the light; None for sRGB's curve."""
_SRGB_GAMMA: Final = 1 / 2.2
_ALIKE: Final = 0.002
"""Of gAMA and cHRM: what is as near to sRGB's values means sRGB."""
_LEAST, _MOST = 0.00016, 6250.0
"""Of gAMA: libpng's bounds; 0 is meaningless, says the specification."""
_STRIP: Final = 256
"""Rows that are converted at once."""
_BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""XYZ to the cones' answers in which white is adapted (ICC.1:2010, annex E)."""


class ColourError(ValueError):
    """Colours that have no place in sRGB; the text names them."""


class PngColours(NamedTuple):
    """primaries: x and y of white, red, green and blue. exponent: light = value ** exponent; None
    for sRGB's curve."""

    primaries: tuple[float, ...]
    exponent: float | None


_PLAIN: Final = PngColours(_SRGB, None)


def png_colours(info: Mapping[Any, Any], data: bytes) -> PngColours | None:
    """What the chunks of a PNG file say; None where that is nothing: for a
    profile, for sRGB by another chunk than cICP, and without such chunks.

    info: Pillow's, of the opened file. gAMA and cHRM that no picture can have are ignored, as
    viewers do. Raises ColourError for HDR curves and unknown numbers.
    """
    coded = _cicp(data)
    if coded is not None:
        return _of_code(*coded)
    if info.get("icc_profile") or "srgb" in info:
        return None
    found = PngColours(_primaries(info.get("chromaticity")), _exponent(info.get("gamma")))
    return None if found == _PLAIN else found


def _primaries(given: Any) -> tuple[float, ...]:
    """Of cHRM; sRGB's where it says no more, or names no colours."""
    found = _SRGB if given is None else tuple(float(part) for part in given)
    if max(abs(one - other) for one, other in zip(found, _SRGB, strict=True)) <= _ALIKE:
        return _SRGB
    points = np.reshape(found, (4, 2))
    white, *others = (np.array([x, y, 1 - x - y]) for x, y in points)
    columns = np.stack(others, axis=1)
    apart = abs(np.linalg.det(columns)) > _ALIKE
    # White is a sum of red, green and blue, and has brightness.
    named = apart and (points[:, 1] > 0).all() and (np.linalg.solve(columns, white) > 0).all()
    return found if named else _SRGB


def _exponent(gamma: float | None) -> float | None:
    if gamma is None or abs(gamma - _SRGB_GAMMA) <= _ALIKE or not _LEAST <= gamma <= _MOST:
        return None
    return 1 / gamma


def _of_code(primaries: int, curve: int, matrix: int, full: int) -> PngColours:
    if primaries not in _PRIMARIES or curve not in _CURVES or (matrix, full) != (0, 1):
        names = {16: " (PQ, of HDR)", 18: " (HLG, of HDR)"}
        raise ColourError(f"cICP {primaries}-{curve}-{matrix}-{full}{names.get(curve, '')}")
    return PngColours(_PRIMARIES[primaries], _CURVES[curve])


def _cicp(data: bytes) -> tuple[int, int, int, int] | None:
    """The chunk cICP, which Pillow does not read."""
    place = 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind = data[place + 4 : place + 8]
        if kind == b"cICP" and length == 4:
            one, two, three, four = data[place + 8 : place + 12]
            return one, two, three, four
        if kind == b"IDAT":
            return None
        place += 12 + length
    return None


def in_srgb(pixels: Image.Image, colours: PngColours) -> Image.Image:
    """RGBA pixels of these colours as RGBA in sRGB; what sRGB has not is cut off."""
    if colours == _PLAIN:
        return pixels
    values = np.arange(256) / 255
    light = _light(values) if colours.exponent is None else values**colours.exponent
    matrix = np.linalg.inv(_to_xyz(_SRGB)) @ _to_xyz(colours.primaries)
    found = np.array(pixels)
    for start in range(0, len(found), _STRIP):
        strip = found[start : start + _STRIP, :, :3]
        strip[:] = np.rint(_value(light[strip] @ matrix.T) * 255)
    return Image.fromarray(found)


def _light(values: Floats) -> Floats:
    """sRGB's curve, values and light in [0, 1] (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _value(light: Floats) -> Floats:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _to_xyz(primaries: tuple[float, ...]) -> Floats:
    """(3, 3): light of red, green and blue to XYZ under D65, white adapted."""
    white, *others = (np.array([x, y, 1 - x - y]) / y for x, y in np.reshape(primaries, (4, 2)))
    columns = np.stack(others, axis=1)
    matrix = columns * np.linalg.solve(columns, white)
    d65 = np.array([_D65[0], _D65[1], 1 - sum(_D65)]) / _D65[1]
    scale = np.diag((_BRADFORD @ d65) / (_BRADFORD @ white))
    adapted: Floats = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ matrix
    return adapted
