"""Letterboxing, alpha on mid-grey, and PNG files that carry their settings."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lafi.board.image_file import ImageFileError
from lafi.drawing.images import encode_png, letterbox, to_pixels, to_tensor


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@settings(max_examples=25, deadline=None)
@given(*[st.integers(8, 60) for _ in range(4)])
def test_a_picture_is_fitted_whole_and_centred(w: int, h: int, width: int, height: int) -> None:
    boxed = letterbox(png(Image.new("RGB", (w, h), (255, 0, 0))), width, height)
    assert boxed.pixels.shape == (height, width, 3)
    inside = boxed.mask == 1.0
    rows, columns = inside.any(dim=1), inside.any(dim=0)
    assert rows.all() or columns.all()
    assert int(inside.sum()) == int(rows.sum()) * int(columns.sum())
    scale = min(width / w, height / h)
    assert abs(int(rows.sum()) - max(1.0, h * scale)) <= 0.5
    assert abs(int(columns.sum()) - max(1.0, w * scale)) <= 0.5
    assert (boxed.pixels[inside.numpy()] == (255, 0, 0)).all()
    assert (boxed.pixels[~inside.numpy()] == 128).all()
    assert (boxed.mask[~inside] == 0.0).all()
    for line in (rows, columns):
        before, after = line.int().argmax(), line.flip(0).int().argmax()
        assert abs(int(before) - int(after)) <= 1


def test_alpha_is_the_mask_and_its_colour_is_grey() -> None:
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 255))
    image.paste((0, 255, 0, 0), (0, 0, 4, 8))
    boxed = letterbox(png(image), 8, 8)
    assert (boxed.pixels[:, :4] == 128).all()
    assert (boxed.pixels[:, 4:] == 255).all()
    assert boxed.mask[0].tolist() == [0.0] * 4 + [1.0] * 4


def test_colour_under_transparent_pixels_does_not_bleed() -> None:
    image = Image.new("RGBA", (64, 64), (128, 128, 128, 255))
    image.paste((255, 0, 0, 0), (0, 0, 32, 64))
    assert (letterbox(png(image), 16, 16).pixels == 128).all()


def test_something_that_is_no_image_is_refused() -> None:
    with pytest.raises(ImageFileError, match="16 bytes that are no image"):
        letterbox(b"hello, I am text", 8, 8)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_pixels_survive_the_way_to_a_tensor_and_back(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    tensor = to_tensor(pixels)
    assert tensor.shape == (3, 5, 7)
    assert tensor.abs().max() <= 1.0
    assert (to_pixels(tensor) == pixels).all()


def test_a_file_carries_its_settings_and_is_the_same_every_time() -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    settings_ = {"seed": 3, "prompt": "一个孩子"}
    data = encode_png(pixels, settings_)
    assert data == encode_png(pixels, dict(reversed(settings_.items())))
    with Image.open(io.BytesIO(data)) as image:
        assert json.loads(image.text["lafi"]) == settings_
        assert (np.asarray(image) == pixels).all()
