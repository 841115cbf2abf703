import io
import struct
import zlib

import numpy as np
import profiles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from lafi.board.image_file import (
    FORMATS,
    ImageFileError,
    decode,
    read_header,
    rgba_pixels,
    sha256_hex,
)
from lafi.board.reference_image import CheckedFile

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TOO_MANY = "an image of far too many pixels, allowed: 8 to 4096 pixels a side"


def encoded(
    kind: str, mode: str = "RGB", size: tuple[int, int] = (24, 16), **options: object
) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, 1 if mode == "1" else None).save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(min(width * height * 3 + height, 10_000))))
    return b"".join((PNG_SIGNATURE, header, *chunks, pixels, chunk(b"IEND", b"")))


def huge_jpeg(side: int) -> bytes:
    data = bytearray(encoded("JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def huge_webp() -> bytes:
    data = bytearray(encoded("WEBP", "RGBA", exif=b"Exif\0\0"))
    data[24:30] = b"\xff" * 6
    return bytes(data)


def animated(kind: str) -> bytes:
    return encoded(kind, save_all=True, append_images=[Image.new("RGB", (24, 16), "red")])


GOOD = [
    *(encoded(kind) for kind in FORMATS),
    encoded("WEBP", lossless=True),
    encoded("WEBP", "RGBA", exif=b"Exif\0\0"),
    *(encoded("PNG", mode) for mode in ("1", "L", "LA", "P", "RGBA")),
    encoded("JPEG", "CMYK"),
    encoded("JPEG", progressive=True),
]
GREY = profiles.grey(2.2)
PROFILE_BOMB = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))
BAD = {
    "20,000 px PNG": (png(20_000, 20_000), TOO_MANY),
    "20,000 px JPEG": (huge_jpeg(20_000), TOO_MANY),
    "10,000 px PNG": (png(10_000, 10_000), TOO_MANY),
    "2**24 px WebP": (huge_webp(), TOO_MANY),
    "5,000 px PNG": (png(5_000, 5_000), "a PNG image of 5000 x 5000 pixels, allowed: 8 to 4096"),
    "5,000 px JPEG": (huge_jpeg(5_000), "a JPEG image of 5000 x 5000 pixels, allowed: 8 to 4096"),
    "one side too long": (png(4097, 8), "a PNG image of 4097 x 8 pixels, allowed: 8 to 4096"),
    "one side too short": (png(8, 7), "a PNG image of 8 x 7 pixels, allowed: 8 to 4096"),
    "no pixels": (
        png(0, 0),
        "bytes that are no image, allowed: a PNG, JPEG, WebP, AVIF, GIF or TIFF image",
    ),
    "text": (
        b"hello",
        "5 bytes that are no image, allowed: a PNG, JPEG, WebP, AVIF, GIF or TIFF image",
    ),
    "nothing": (b"", "an empty file, allowed: a PNG, JPEG, WebP, AVIF, GIF or TIFF image"),
    "BMP": (encoded("BMP"), "got a BMP image, allowed: a PNG, JPEG, WebP, AVIF, GIF or TIFF"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "got a HEIC image, allowed: a PNG, JPEG"),
    "cut PNG": (
        encoded("PNG", size=(64, 64))[:60],
        "a file that ends too early (image file",
    ),
    "cut JPEG": (encoded("JPEG", size=(64, 64))[:-300], "a file that ends too early ("),
    "cut WebP": (encoded("WEBP")[:-5], "an image with a broken header ("),
    "PNG signature": (
        PNG_SIGNATURE,
        "8 bytes that are no image, allowed: a PNG, JPEG, WebP, AVIF, GIF or TIFF",
    ),
    "JPEG signature": (
        b"\xff\xd8\xff",
        "3 bytes that are no image, allowed: a PNG, JPEG, WebP, AVIF, GIF or TIFF",
    ),
    "JPEG cut in its header": (
        encoded("JPEG")[:30],
        "a file that ends too early (Trunc",
    ),
    "JPEG of fill bytes": (b"\xff\xd8" + b"\xff" * 99, "101 bytes that are no image"),
    "WebP of nothing": (b"RIFF0000WEBPABCD", "16 bytes that are no image"),
    "WebP cut in its header": (encoded("WEBP")[:30], "an image with a broken header ("),
    "missing pixels": (png(100, 100), "a file that ends too early (image file is trunc"),
    "profile bomb": (png(16, 16, PROFILE_BOMB), "an image with a broken header (Decompressed data"),
    "no profile": (
        encoded("PNG", icc_profile=b"x" * 200),
        "an image whose colour profile",
    ),
    "grey profile": (
        encoded("PNG", icc_profile=GREY),
        "profile is for GRAY colours, the",
    ),
    "pages": (animated("TIFF"), "an image of several pages, allowed: a single page"),
    "animated PNG": (animated("PNG"), "an animated image, allowed: a still image"),
    "animated WebP": (animated("WEBP"), "an animated image, allowed: a still image"),
    "floats": (encoded("TIFF", "F"), "pixels of type F, allowed: 8 or 16 bits a channel"),
    "17 MiB": (bytes(17 * 2**20), "17825792 bytes, allowed: an image file of at most 16 MiB"),
}


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(GOOD), st.data())
def test_a_damaged_file_is_refused_or_still_an_image(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    damaged = damaged[: draw.draw(st.integers(1, len(data)))]
    try:
        CheckedFile.of(bytes(damaged)).image()
    except ImageFileError as refused:
        said = str(refused)
    else:
        said = decode(bytes(damaged)).mode
    assert said == "RGBA" or ", allowed: " in said


@pytest.mark.parametrize("data", GOOD)
def test_header_agrees_with_the_decoder(data: bytes) -> None:
    CheckedFile.of(data).image()
    header = read_header(data)
    assert (header.width, header.height) == decode(data).size == (24, 16)
    assert header.format in FORMATS


@pytest.mark.parametrize(("data", "got"), BAD.values(), ids=BAD.keys())
def test_bad_image_is_refused(data: bytes, got: str) -> None:
    with pytest.raises(ImageFileError) as refused:
        CheckedFile.of(data).image()
    assert got in str(refused.value)
    assert str(refused.value).startswith("got ")


@pytest.mark.parametrize("data", [png(20_000, 20_000), png(4097, 4096), huge_jpeg(5_000)])
def test_a_huge_image_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    def no_decoder(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", no_decoder)
    with pytest.raises(ImageFileError, match="allowed: 8 to 4096 pixels a side"):
        CheckedFile.of(data).image()
    with pytest.raises(ImageFileError, match="allowed: 8 to 4096 pixels a side"):
        decode(data)


def test_alpha_is_kept_and_added() -> None:
    pixels = np.zeros((16, 24, 4), dtype=np.uint8)
    pixels[:, :8] = (255, 0, 0, 128)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    assert np.array_equal(rgba_pixels(stream.getvalue()), pixels)
    assert (rgba_pixels(encoded("JPEG"))[..., 3] == 255).all()


def test_a_photo_taken_sideways_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert rgba_pixels(encoded("JPEG", exif=exif)).shape == (24, 16, 4)


def test_of_several_pictures_in_a_jpeg_file_the_first_is_taken() -> None:
    red = [Image.new("RGB", (32, 32), "red")]
    data = encoded("MPO", save_all=True, append_images=red)
    assert read_header(data).format == "JPEG"
    assert np.array_equal(rgba_pixels(data), rgba_pixels(encoded("JPEG")))


def test_hash_is_of_the_files_bytes() -> None:
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_hex(b"abc") == known
