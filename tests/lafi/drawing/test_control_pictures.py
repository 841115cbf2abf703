"""What a control network sees: pictures whole on black, edges as OpenCV draws them."""

import io

import cv2
import numpy as np
from PIL import Image

from lafi.board.control import Control
from lafi.drawing.control_pictures import control_pixels, control_tensor


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def blocks(height: int, width: int, channels: int = 3) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (4, 4, channels), dtype=np.uint8)
    return np.repeat(np.repeat(small, height // 4, axis=0), width // 4, axis=1)


def test_a_picture_of_the_panels_size_keeps_its_pixels() -> None:
    given = blocks(32, 48)
    assert np.array_equal(control_pixels(Control(kind="x", image=png(given)), 48, 32), given)


def test_beside_a_narrower_picture_all_is_black() -> None:
    given = np.full((32, 16, 3), 200, np.uint8)
    seen = control_pixels(Control(kind="x", image=png(given)), 32, 32)
    assert (seen[:, 8:24] == 200).all()
    assert not seen[:, :8].any()
    assert not seen[:, 24:].any()


def test_what_is_transparent_is_black() -> None:
    given = np.full((32, 32, 4), 200, np.uint8)
    given[:, 16:, 3] = 0
    seen = control_pixels(Control(kind="x", image=png(given)), 32, 32)
    assert not seen[:, 16:].any()
    assert seen[:, :16].all()


def test_edges_are_those_of_opencv() -> None:
    given = blocks(64, 64)
    seen = control_pixels(Control(kind="x", image=png(given), prepare="canny"), 64, 64)
    assert np.array_equal(seen, np.repeat(cv2.Canny(given, 100, 200)[..., None], 3, axis=2))
    assert seen.any()


def test_the_border_of_a_fitted_picture_is_no_edge() -> None:
    given = np.full((64, 32, 3), 255, np.uint8)
    assert not control_pixels(Control(kind="x", image=png(given), prepare="canny"), 64, 64).any()


def test_a_network_sees_zero_to_one() -> None:
    given = blocks(8, 12)
    seen = control_tensor(given)
    assert seen.shape == (1, 3, 8, 12)
    assert np.array_equal((seen[0].permute(1, 2, 0).numpy() * 255).round(), given)


def test_what_sees_grey_sees_the_luma_that_pillow_computes() -> None:
    given = blocks(8, 12)
    seen = control_tensor(given, channels=1)
    assert seen.shape == (1, 1, 8, 12)
    grey = np.asarray(Image.fromarray(given).convert("L"))
    assert np.array_equal((seen[0, 0].numpy() * 255).round(), grey)
