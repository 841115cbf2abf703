"""Colour profiles as cameras and painting programs put them into files, made here."""

import io
import struct
from collections.abc import Mapping
from typing import Final

import numpy as np
from PIL import ImageCms

Primaries = Mapping[bytes, tuple[float, float, float]]
"""XYZ of red, green and blue under D50, by their tags."""
DISPLAY_P3: Final[Primaries] = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
SRGB: Final[Primaries] = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
BT2020: Final[Primaries] = {
    b"rXYZ": (0.67346, 0.27904, -0.00194),
    b"gXYZ": (0.16566, 0.67534, 0.02998),
    b"bXYZ": (0.12505, 0.04561, 0.79686),
}
ADOBE_RGB: Final[Primaries] = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
}
_D50: Final = (0.9642, 1.0, 0.8249)


def srgb() -> bytes:
    """littleCMS' own sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def lab() -> bytes:
    """A profile for colours that no reference has."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def with_primaries(primaries: Primaries) -> bytes:
    """The sRGB profile with other primaries, and its own curve."""
    profile = bytearray(srgb())
    (count,) = struct.unpack_from(">I", profile, 128)
    for entry in range(132, 132 + 12 * count, 12):
        name, (place,) = (
            bytes(profile[entry : entry + 4]),
            struct.unpack_from(">I", profile, entry + 4),
        )
        if name in primaries:
            profile[place + 8 : place + 20] = _fixed(primaries[name])
    return bytes(profile)


def rgb(gamma: float) -> bytes:
    """A profile with sRGB's primaries whose light is value ** gamma."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 4) + b"rgb\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
        **{tag: b"XYZ \0\0\0\0" + _fixed(xyz) for tag, xyz in SRGB.items()},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return _profile(b"mntrRGB XYZ ", tags)


def grey(gamma: float) -> bytes:
    """A profile for grey pictures whose light is value ** gamma."""
    text = b"grey\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)),
    }
    return _profile(b"mntrGRAYXYZ ", tags)


def cmyk() -> bytes:
    """A printer's profile: what its inks look like, alone and one over another."""
    inks = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), axis=-1)
    seen = (1 - 0.8 * inks[..., :3]) * (1 - 0.9 * inks[..., 3:])
    lightness = 100 * seen.mean(axis=-1)
    red_green = 80 * (seen[..., 0] - seen[..., 1])
    yellow_blue = 80 * (seen[..., :2].mean(axis=-1) - seen[..., 2])
    lab = np.stack([lightness * 2.55, red_green + 128, yellow_blue + 128], axis=-1)
    even = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    corners = lab.round().clip(0, 255).astype(np.uint8).tobytes()
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + 4 * even + corners + 3 * even
    text = b"inks\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
        b"A2B0": table,
    }
    return _profile(b"prtrCMYKLab ", tags)


def _profile(kind: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """kind: the class, the colours and the space between profiles, four letters each."""
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        place = 128 + 4 + 12 * len(tags) + len(body)
        table += name + struct.pack(">II", place, len(data))
        body += padded
    header = bytearray(128)
    struct.pack_into(">I", header, 0, 128 + len(table) + len(body))
    header[8:12] = b"\x02\x40\0\0"
    header[12:24] = kind
    header[36:40] = b"acsp"
    header[68:80] = _fixed(_D50)
    return bytes(header) + table + body


def opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    """As Pillow reads it."""
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _fixed(numbers: tuple[float, float, float]) -> bytes:
    return struct.pack(">3i", *(round(number * 65536) for number in numbers))
