"""The stage `larger`: sizes, rate, resuming, and which checkpoint is packed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.larger import LargerTraining, Size, larger_rate, train_larger
from lafi_tiny.stages.stage_folder import has_finished
from lafi_tiny.stages.text_to_latent import (
    BEST_FILE,
    LARGER_FILE,
    last_file,
    load_denoiser,
)

SHORT = LargerTraining(
    steps=3, sizes=(Size(128, 2, 20, 0.3), Size(192, 2, 20, 0.7)), first_pictures=20
)


def test_it_goes_on_from_the_best_and_is_what_is_packed(
    plan: Blueprint, with_denoiser: Path, tokenizer: CLIPTokenizer
) -> None:
    before = load_denoiser(plan, with_denoiser, tokenizer).state_dict()
    train_larger(plan, replace(SHORT, steps=2), with_denoiser)
    (with_denoiser / "larger.done").unlink()
    assert last_file(with_denoiser) == BEST_FILE
    train_larger(plan, SHORT, with_denoiser)
    assert torch.load(with_denoiser / LARGER_FILE, weights_only=True)["step"] == 3
    assert has_finished(with_denoiser, "larger")
    assert last_file(with_denoiser) == LARGER_FILE
    after = load_denoiser(plan, with_denoiser, tokenizer).state_dict()
    changes = [(after[k] - before[k]).abs().max() for k in before if k.endswith("weight")]
    assert 0 < max(changes) < 0.1
    assert {path.name.split("_")[-1] for path in with_denoiser.glob("latents_*")} == {"128", "192"}


def test_the_rate_ends_at_nothing() -> None:
    settings = LargerTraining(steps=1000)
    rates = [larger_rate(step, settings) for step in range(1001)]
    assert rates[-1] == 0
    assert max(rates) == pytest.approx(0.9, abs=0.02)
    assert rates[0] < 0.02


def test_batches_of_every_size_cost_about_the_same() -> None:
    pixels = [size.batch * size.side**2 for size in LargerTraining().sizes]
    assert max(pixels) < 1.05 * min(pixels)
    assert sum(size.share for size in LargerTraining().sizes) == pytest.approx(1)


def test_an_autoencoder_takes_these_sides(vae: AutoencoderKL) -> None:
    for size in LargerTraining().sizes:
        latents = vae.encode(torch.zeros(1, 3, size.side, size.side)).latent_dist.mean
        assert latents.shape[-1] == size.side // 8
