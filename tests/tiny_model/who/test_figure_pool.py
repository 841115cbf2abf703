"""The recogniser's pictures: kept by chunks, never of a held-out identity, mildly varied."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lafi.board.letterbox import fit_pixels
from lafi_tiny.hand.attributes import is_held_out_identity
from lafi_tiny.hand.picture import render
from lafi_tiny.who import figure_pool
from lafi_tiny.who.figure_pool import FigurePool, FigureSpec, augment, degrade, fill_pool
from lafi_tiny.who.recogniser import SIDE, labels_of


@pytest.fixture(autouse=True)
def small_pool_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_pool, "CHUNK", 4)


def small(index: int) -> NDArray[np.uint8]:
    """A picture of the pool, at the recogniser's side."""
    return fit_pixels(np.asarray(render(FigureSpec().picture(index))), SIDE, SIDE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_no_training_picture_shows_a_held_out_identity(index: int, held_out: bool) -> None:
    picture = FigureSpec(held_out=held_out).picture(index)
    assert is_held_out_identity(picture.figures[0].identity) == held_out


def test_workers_fill_a_pool_that_one_would_fill(tmp_path: Path, vae: AutoencoderKL) -> None:
    fill_pool(tmp_path / "one", 12, vae, FigureSpec())
    for worker in (1, 0):
        fill_pool(tmp_path / "two", 12, vae, FigureSpec(), worker, workers=2)
    one, two = (FigurePool(tmp_path / name, 12) for name in ("one", "two"))
    assert len(one) == 12
    assert np.array_equal(one.pixels, two.pixels)
    assert torch.equal(one.labels, two.labels)
    expected = [labels_of(FigureSpec().picture(i)) for i in range(12)]
    assert one.labels.tolist() == expected


def test_only_every_third_picture_went_through_the_vae(tmp_path: Path, vae: AutoencoderKL) -> None:
    fill_pool(tmp_path, 4, vae, FigureSpec())
    pool = FigurePool(tmp_path, 4)
    same = [np.array_equal(pool.pixels[i], small(i)) for i in range(4)]
    assert same == [False, True, True, False]


def test_a_missing_chunk_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="figures_0000000"):
        FigurePool(tmp_path, 4)


def test_no_noise_is_the_vae_alone(vae: AutoencoderKL) -> None:
    pixels = np.stack([np.asarray(render(FigureSpec().picture(i))) for i in range(2)])
    assert np.array_equal(degrade(vae, pixels, 1, noise=0.0), degrade(vae, pixels, 2, noise=0.0))
    assert not np.array_equal(degrade(vae, pixels, 1), degrade(vae, pixels, 2))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_variation_follows_its_seed_and_stays_in_range(seed: int) -> None:
    pixels = np.stack([small(i) for i in range(3)])
    first, second = (augment(pixels, np.random.default_rng(seed)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (3, 3, SIDE, SIDE)
    assert first.abs().max() <= 1
    assert not torch.equal(first, augment(pixels, np.random.default_rng(seed + 1)))
