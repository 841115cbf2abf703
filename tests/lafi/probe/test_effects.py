"""Layout is what lies where; texture is what it is made of, wherever it lies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.letterbox import Pixels
from lafi.probe.effects import MOST_PSNR, layout_gain, psnr, texture_gain


def noise(seed: int, spread: int = 60) -> Pixels:
    random = np.random.default_rng(seed).integers(-spread, spread, (48, 40, 3))
    return (128 + random).astype(np.uint8)


def stripes(period: int, phase: int = 0) -> Pixels:
    bright = ((np.arange(40) + phase) // period % 2 * 255).astype(np.uint8)
    return np.broadcast_to(bright[None, :, None], (48, 40, 3)).copy()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.integers(0, 99))
def test_no_change_gains_nothing_and_the_reference_itself_all(one: int, other: int) -> None:
    plain, reference = noise(one), noise(other + 100, 20)
    assert psnr(plain, plain) == MOST_PSNR
    assert layout_gain(plain, plain, reference) == pytest.approx(0.0)
    assert layout_gain(plain, reference, reference) == pytest.approx(1.0)
    assert texture_gain(plain, plain, reference) == pytest.approx(0.0)
    assert texture_gain(plain, reference, reference) == pytest.approx(1.0)


def test_psnr_is_that_of_the_definition() -> None:
    plain = np.zeros((4, 4, 3), dtype=np.uint8)
    assert psnr(plain, plain + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)


def test_half_of_the_way_is_half_of_the_layout() -> None:
    plain = np.zeros((40, 40, 3), dtype=np.uint8)
    reference = np.full_like(plain, 200)
    assert layout_gain(plain, reference // 2, reference) == pytest.approx(0.5)


def test_texture_counts_wherever_it_lies() -> None:
    """The same stripes elsewhere are the reference's texture, and nothing of its layout."""
    plain, reference = noise(1, 10), stripes(2)
    moved = stripes(2, phase=1)
    assert texture_gain(plain, moved, reference) > 0.9
    coarse = stripes(10)
    assert texture_gain(plain, coarse, reference) < texture_gain(plain, moved, reference) - 0.2
    shade = np.clip(plain.astype(int) + 40, 0, 255).astype(np.uint8)
    assert texture_gain(plain, shade, reference) == pytest.approx(0.0, abs=0.01)
