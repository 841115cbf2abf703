"""Reference pictures as people bring them, each with its pixels or its refusal.

The pixels are what Pillow gives, or what the format's specification says where Pillow reads it
otherwise.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import profiles
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from brought_files import LFS_POINTER

WIDE, HIGH = 40, 24
HALF: Final = WIDE // 2
_RNG: Final = np.random.default_rng(0)
COLOURS: Final = _RNG.integers(0, 256, (HIGH, WIDE, 3), dtype=np.uint8)
GREYS: Final = COLOURS[..., 0]
BASE: Final = Image.fromarray(COLOURS)
Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Picture:
    """One file.

    data    its bytes
    pixels  what it has to be, RGBA uint8; None where it is refused
    error   a regular expression that the refusal matches
    off     how far a pixel may be off, of 255
    """

    name: str
    data: bytes
    pixels: Pixels | None = None
    error: str = ""
    off: int = 0

    def __str__(self) -> str:
        return self.name


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rgba(image: Any) -> Pixels:
    return np.asarray(image.convert("RGBA"))


def opaque(colours: Pixels) -> Pixels:
    return np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])


def left_clear(colours: Pixels) -> Pixels:
    """RGB with the left half transparent."""
    alpha = np.where(np.arange(WIDE) < HALF, 0, 255) + np.zeros((HIGH, 1), int)
    return np.dstack([colours, alpha.astype(np.uint8)])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, colour: int, rows: bytes, *before: bytes, after: bytes = b"") -> bytes:
    """Rows without their filter byte, all of one length."""
    header = struct.pack(">IIBBBBB", WIDE, HIGH, depth, colour, 0, 0, 0)
    length = len(rows) // HIGH
    filtered = b"".join(b"\0" + rows[i : i + length] for i in range(0, len(rows), length))
    parts = (chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(filtered)), after)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def tiff_header(*entries: tuple[int, int, int, bytes], more: bytes = b"") -> bytes:
    """EXIF: tags of (number, type, count, value of 4 bytes)."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4) + more


SIDEWAYS: Final = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
JPEG: Final = saved(BASE, "JPEG", quality=95, subsampling=0)


def with_exif(exif: bytes) -> bytes:
    body = b"Exif\0\0" + exif
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + JPEG[2:]


def profiled(kind: str, profile: bytes, image: Image.Image = BASE) -> tuple[bytes, Pixels]:
    """A file with a profile, and what littleCMS makes of it."""
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    options |= {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    data = saved(image, kind, icc_profile=profile, **options)
    stored = Image.open(io.BytesIO(data))
    shown: Any = ImageCms.profileToProfile(
        stored.convert(image.mode if image.mode in ("L", "CMYK") else "RGB"),
        profiles.opened(profile),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    return data, rgba(shown)


def _profiles() -> list[Picture]:
    p3, adobe = (profiles.with_primaries(p) for p in (profiles.DISPLAY_P3, profiles.ADOBE_RGB))
    made = [
        Picture(f"{name} in {kind}", *profiled(kind, profile))
        for name, profile in (("Display P3", p3), ("Adobe RGB", adobe))
        for kind in ("PNG", "JPEG", "WEBP", "TIFF")
    ]
    _, shown = profiled("PNG", p3)
    half = Image.fromarray(left_clear(COLOURS))
    clear = shown.copy()
    clear[:, :HALF, 3] = 0
    grey, inks, printed = profiles.grey(1.0), profiles.cmyk(), BASE.convert("CMYK")
    same = opaque(COLOURS)
    return [
        *made,
        Picture("Display P3 with alpha", saved(half, "PNG", icc_profile=p3), clear),
        Picture("grey of linear light", *profiled("PNG", grey, Image.fromarray(GREYS))),
        Picture("16-bit grey with alpha, of linear light", *_wide_grey(grey)),
        *(
            Picture(f"CMYK with its profile in {kind}", *profiled(kind, inks, printed))
            for kind in ("JPEG", "TIFF")
        ),
        Picture(
            "a CMYK profile for colours",
            saved(BASE, "PNG", icc_profile=inks),
            error="colour profile is for CMYK colours, the pixels are RGB",
        ),
        Picture(
            "an RGB profile for CMYK",
            saved(printed, "JPEG", icc_profile=p3),
            error="colour profile is for RGB colours, the pixels are CMYK",
        ),
        Picture("sRGB keeps its pixels", saved(BASE, "PNG", icc_profile=profiles.srgb()), same),
        Picture(
            "a grey profile for colours",
            saved(BASE, "PNG", icc_profile=grey),
            error="colour profile is for GRAY colours, the pixels are RGB, allowed: one that fits",
        ),
        Picture(
            "a LAB profile",
            saved(BASE, "PNG", icc_profile=profiles.lab()),
            error="colour profile is for LAB colours",
        ),
        Picture(
            "a damaged profile",
            saved(BASE, "PNG", icc_profile=p3[:200]),
            error="colour profile cannot be read",
        ),
    ]


def _wide_grey(profile: bytes) -> tuple[bytes, Pixels]:
    """PNG's grey of 16 bits with alpha, which Pillow opens as colours, with a grey profile."""
    alpha = left_clear(COLOURS)[..., 3]
    values = (np.dstack([GREYS, alpha]).astype(">u2") * 257).astype(">u2")
    _, pixels = profiled("PNG", profile, Image.fromarray(GREYS))
    named = chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile))
    return png(16, 4, values.tobytes(), named), np.dstack([pixels[..., :3], alpha])


def shown(profile: bytes) -> Pixels:
    """COLOURS as littleCMS shows them with a profile."""
    made: Any = ImageCms.profileToProfile(
        BASE, profiles.opened(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    return rgba(made)


def coloured(*chunks: tuple[bytes, bytes]) -> bytes:
    """COLOURS as a PNG file with these chunks."""
    return png(8, 2, COLOURS.tobytes(), *(chunk(*each) for each in chunks))


def _coded_and_profiled(profile: bytes) -> bytes:
    """COLOURS whose code is sRGB's, beside a profile, which counts less."""
    named = b"icc\0\0" + zlib.compress(profile)
    return coloured((b"cICP", bytes([1, 13, 0, 1])), (b"iCCP", named))


def _png_colours() -> list[Picture]:
    p3, wide = (profiles.with_primaries(p) for p in (profiles.DISPLAY_P3, profiles.BT2020))
    same, gamma = opaque(COLOURS), (b"gAMA", struct.pack(">I", 45455))
    points = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    p3_points = (b"cHRM", struct.pack(">8I", *points))
    rec709 = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    linear = (b"gAMA", struct.pack(">I", 100000))
    return [
        Picture("cICP of Display P3", coloured((b"cICP", bytes([12, 13, 0, 1]))), shown(p3), off=1),
        Picture("cICP of BT.2020", coloured((b"cICP", bytes([9, 13, 0, 1]))), shown(wide), off=1),
        Picture("cICP of sRGB", coloured((b"cICP", bytes([1, 13, 0, 1]))), same),
        Picture("cHRM of Display P3", coloured(gamma, p3_points), shown(p3), off=1),
        Picture(
            "gAMA and cHRM of sRGB", coloured(gamma, (b"cHRM", struct.pack(">8I", *rec709))), same
        ),
        Picture("gAMA of linear light", coloured(linear), shown(profiles.rgb(1.0)), off=1),
        Picture("sRGB before gAMA", coloured((b"sRGB", b"\0"), linear), same),
        Picture("cICP of sRGB before a profile", _coded_and_profiled(p3), same),
        Picture("gAMA 0", coloured((b"gAMA", bytes(4))), same),
        Picture("gAMA of no screen", coloured((b"gAMA", struct.pack(">I", 1))), same),
        Picture("cHRM of zeros", coloured((b"cHRM", bytes(32))), same),
        Picture(
            "cHRM of one line",
            coloured((b"cHRM", struct.pack(">8I", *points[:2], *(10000, 10000) * 3))),
            same,
        ),
        Picture(
            "cICP of HDR",
            coloured((b"cICP", bytes([9, 16, 0, 1]))),
            error=r"an image with colours of cICP 9-16-0-1 \(PQ, of HDR\), allowed: sRGB",
        ),
    ]


def white_is_zero(values: Pixels) -> bytes:
    """A TIFF file of grey of 16 bits in which 0 is white."""
    tags = {256: WIDE, 257: HIGH, 258: 16, 259: 1, 262: 0, 277: 1, 278: HIGH, 279: values.size * 2}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    body = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + bytes(4)
    return head + (0xFFFF - values).astype("<u2").tobytes()


def _depths() -> list[Picture]:
    wide = (COLOURS.astype(">u2") * 257).astype(">u2")
    key = np.where(np.arange(WIDE)[None, :, None] < HALF, np.array([255, 0, 255]), COLOURS)
    keyed = key.astype(np.uint8)
    grey16 = _RNG.integers(0, 65536, (HIGH, WIDE)).astype(">u2")
    upper = (grey16 >> 8).astype(np.uint8)
    bits = {1: (b"\xff\xff\xf0\0\0", 0), 2: (b"\xff" * 5 + b"\x55" * 5, 85)}
    bits[4] = (b"\xff" * 10 + b"\x55" * 10, 85)
    few = [
        Picture(
            f"{depth}-bit grey with a transparent value",
            png(depth, 0, row * HIGH, chunk(b"tRNS", struct.pack(">H", 2**depth - 1))),
            left_clear(_halves(255, right)),
        )
        for depth, (row, right) in bits.items()
    ]
    pink = chunk(b"tRNS", struct.pack(">HHH", 65535, 0, 65535))
    return [
        *few,
        Picture("16-bit colours", png(16, 2, wide.tobytes()), opaque(COLOURS)),
        Picture(
            "16-bit colours, one transparent",
            png(16, 2, (keyed.astype(">u2") * 257).astype(">u2").tobytes(), pink),
            left_clear(keyed),
        ),
        Picture("16-bit grey", png(16, 0, grey16.tobytes()), opaque(np.dstack([upper] * 3))),
        Picture(
            "16-bit grey, TIFF",
            saved(Image.fromarray(grey16.astype(np.uint16)), "TIFF"),
            opaque(np.dstack([upper] * 3)),
        ),
        Picture(
            "16-bit grey, TIFF, 0 is white",
            white_is_zero(grey16.astype(np.uint16)),
            opaque(np.dstack([upper] * 3)),
        ),
        Picture(
            "floats, TIFF",
            saved(Image.fromarray(GREYS.astype(np.float32)), "TIFF"),
            error="pixels of type F, allowed: 8 or 16 bits a channel",
        ),
    ]


def _halves(left: int, right: int) -> Pixels:
    values = np.where(np.arange(WIDE)[None, :, None] < HALF, left, right)
    return np.broadcast_to(values, (HIGH, WIDE, 3)).astype(np.uint8)


def _modes() -> list[Picture]:
    cmyk, grey, two = BASE.convert("CMYK"), BASE.convert("L"), BASE.convert("1")
    palette = BASE.quantize(16)
    clear = saved(palette, "PNG", transparency=0)
    lossy = saved(cmyk, "JPEG", quality=95)
    return [
        Picture("CMYK", lossy, rgba(Image.open(io.BytesIO(lossy)))),
        Picture("grey", saved(grey, "PNG"), rgba(grey)),
        Picture("black and white", saved(two, "PNG"), rgba(two)),
        Picture("palette", saved(palette, "PNG"), rgba(palette)),
        Picture("palette, one transparent", clear, rgba(Image.open(io.BytesIO(clear)))),
        Picture("GIF", saved(palette, "GIF"), rgba(palette)),
        Picture(
            "animated GIF: the first",
            saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
            rgba(palette),
        ),
        Picture("TIFF", saved(BASE, "TIFF"), opaque(COLOURS)),
        Picture("TIFF, LZW", saved(BASE, "TIFF", compression="tiff_lzw"), opaque(COLOURS)),
        Picture("AVIF", avif := saved(BASE, "AVIF"), rgba(Image.open(io.BytesIO(avif)))),
        Picture("BMP", saved(BASE, "BMP"), error="got a BMP image, allowed: a PNG, JPEG, WebP"),
        Picture(
            "pages",
            saved(BASE, "TIFF", save_all=True, append_images=[BASE]),
            error="an image of several pages, allowed: a single page",
        ),
    ]


def _metadata() -> list[Picture]:
    upright = rgba(Image.open(io.BytesIO(JPEG)))
    turned = rgba(ImageOps.exif_transpose(Image.open(io.BytesIO(with_exif(tiff_header(SIDEWAYS))))))
    odd = {
        "a resolution of two values": tiff_header(
            SIDEWAYS, (0x011A, 5, 2, struct.pack("<I", 38)), more=struct.pack("<4I", 72, 1, 72, 1)
        ),
        "a resolution of -1/0": tiff_header(
            SIDEWAYS, (0x011A, 10, 1, struct.pack("<I", 38)), more=struct.pack("<2i", -1, 0)
        ),
        "EXIF that leads to itself": tiff_header(SIDEWAYS, (0x8769, 4, 1, struct.pack("<I", 8))),
        "EXIF that leads nowhere": tiff_header(SIDEWAYS, (0x8769, 4, 1, struct.pack("<I", 10**6))),
        "a comment of numbers": tiff_header(
            SIDEWAYS, (0x9286, 3, 4, struct.pack("<I", 38)), more=struct.pack("<4H", 1, 2, 3, 4)
        ),
    }
    texts = {
        "a compressed text of 2 MB": _texts(zip=True),
        "a plain text of 3 MB": _texts(zip=False),
    }
    damaged = bytearray(png(8, 2, COLOURS.tobytes(), chunk(b"tEXt", b"a\0b")))
    damaged[damaged.index(b"tEXt") + 7] ^= 0xFF
    texts["a text with a wrong checksum"] = bytes(damaged)
    return [
        *(Picture(f"sideways, {name}", with_exif(exif), turned) for name, exif in odd.items()),
        Picture("sideways", with_exif(tiff_header(SIDEWAYS)), turned),
        Picture("sideways, TIFF", *_sideways("TIFF")),
        Picture("sideways, AVIF", *_sideways("AVIF")),
        Picture("sideways, PNG", *_sideways("PNG")),
        Picture("EXIF cut short", with_exif(tiff_header(SIDEWAYS)[:9]), upright),
        Picture("EXIF of garbage", with_exif(b"garbage garbage garbage"), upright),
        *(Picture(name, data, opaque(COLOURS)) for name, data in texts.items()),
    ]


def _sideways(kind: str) -> tuple[bytes, Pixels]:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(BASE, kind, exif=exif)
    return data, rgba(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))


def _texts(*, zip: bool) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * (2_000_000 if zip else 3_000_000), zip=zip)
    return saved(BASE, "PNG", pnginfo=info)


def _faults() -> list[Picture]:
    whole = saved(BASE, "PNG")
    wrong = bytearray(whole)
    wrong[whole.index(b"IDAT") + 8] ^= 0xFF
    return [
        Picture("nothing", b"", error="an empty file"),
        Picture("a page of HTML", b"<html>not found</html>", error="got a web page"),
        Picture("letters", b"not a picture", error="13 bytes that are no image"),
        Picture("a git-lfs pointer", LFS_POINTER.encode(), error="got a git-lfs pointer"),
        Picture("JPEG XL", b"\xff\x0a" + bytes(40), error="got a JPEG XL image"),
        Picture("JPEG XL in a box", b"\0\0\0\x0cJXL \r\n\x87\n", error="got a JPEG XL image"),
        Picture("JPEG 2000", saved(BASE, "JPEG2000"), error="got a JPEG 2000 image"),
        Picture("Photoshop", b"8BPS\0\1" + bytes(40), error="got a Photoshop document"),
        Picture("an icon", saved(BASE, "ICO"), error="got an icon"),
        Picture("a film", b"\0\0\0\x18ftypisom" + bytes(40), error="got a video"),
        Picture("HEIC", b"\0\0\0\x18ftypheic" + bytes(40), error="got a HEIC image"),
        Picture("half a PNG", whole[: len(whole) // 2], error="a file that ends too early"),
        Picture("half a JPEG", JPEG[: len(JPEG) // 2], error="a file that ends too early"),
        Picture("damaged pixels", bytes(wrong), error="an image with a broken picture"),
    ]


PICTURES: Final = (*_profiles(), *_png_colours(), *_depths(), *_modes(), *_metadata(), *_faults())
