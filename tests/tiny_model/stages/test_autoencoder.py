"""The autoencoder's stage: factor 8 at any size, resumed where it stopped, frozen at its end."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from lafi_tiny.stages.autoencoder import (
    STATE_FILE,
    AutoencoderTraining,
    draw_batch,
    load_average,
    train_autoencoder,
)
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.samples import BODY_WEIGHT, HEAD_WEIGHT, cropped, picture_of, weight_map
from lafi_tiny.stages.stage_folder import has_finished


@pytest.mark.parametrize("side", [128, 192, 256])
def test_latents_are_an_eighth_of_any_side(vae: AutoencoderKL, side: int) -> None:
    images = torch.zeros(1, 3, side, side)
    latents = vae.encode(images).latent_dist.mean
    assert latents.shape == (1, 4, side // 8, side // 8)
    assert vae.decode(latents).sample.shape == images.shape


def test_the_scaling_factor_makes_latents_of_unit_spread(
    vae: AutoencoderKL, with_autoencoder: Path
) -> None:
    assert has_finished(with_autoencoder, "autoencoder")
    assert vae.config.scaling_factor != 1.0
    images, _ = draw_batch(24, 128, np.random.default_rng(1))
    spread = vae.encode(images).latent_dist.mean.std().item() * vae.config.scaling_factor
    assert spread == pytest.approx(1.0, abs=0.35)


def test_a_stopped_run_goes_on(plan: Blueprint, tmp_path: Path) -> None:
    settings = AutoencoderTraining(steps=4, batch=2, stop_after_seconds=0.0)
    train_autoencoder(plan, settings, tmp_path)
    assert torch.load(tmp_path / STATE_FILE, weights_only=True)["step"] == 1
    assert not has_finished(tmp_path, "autoencoder")
    train_autoencoder(plan, AutoencoderTraining(steps=4, batch=2), tmp_path)
    assert torch.load(tmp_path / STATE_FILE, weights_only=True)["step"] == 4
    assert load_average(plan, tmp_path).config.latent_channels == 4


def test_heads_weigh_more_than_bodies_and_those_more_than_the_rest() -> None:
    picture = picture_of(3, 1)
    weights = weight_map(picture, 128)
    assert weights.min() == 1.0
    for figure in picture.figures:
        x, y = (int(v) for v in figure.skeleton().head)
        if 0 <= x < 128 and 0 <= y < 128:
            assert weights[y, x] >= 1 + HEAD_WEIGHT
    assert 1 + BODY_WEIGHT in weights


@pytest.mark.parametrize("side", [128, 192, 256])
def test_larger_pictures_are_cut_to_the_window(side: int) -> None:
    pixels, weights = cropped(picture_of(0, 4), side, 128, np.random.default_rng(0))
    assert pixels.shape == (128, 128, 3)
    assert weights.shape == (128, 128)
