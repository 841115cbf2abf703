"""The stage `few_steps`: what diffusers' `LCMScheduler` asks of it, resuming, and the LoRA file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from lafi_tiny.stages import few_steps
from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.blueprint import Blueprint, build_noise_schedule
from lafi_tiny.stages.few_steps import (
    FAST_FOLDER,
    FewStepsTraining,
    boundary,
    end_loss,
    random_levels,
    train_few_steps,
)
from lafi_tiny.stages.few_steps_watch import STEPS
from lafi_tiny.stages.stage_folder import has_finished
from lafi_tiny.stages.teacher_paths import LEVELS, Points, lcm_timesteps
from lafi_tiny.stages.text_to_latent import load_denoiser

SHORT = FewStepsTraining(steps=3, batch=2, rank=2, paths=4, chunk=2, peak_rate=1e-3)


def scheduler() -> LCMScheduler:
    return LCMScheduler.from_config(build_noise_schedule().config)


def test_the_boundary_is_the_schedulers() -> None:
    timesteps = torch.arange(0, 1000, 37)
    skip, out = boundary(timesteps)
    wanted = [scheduler().get_scalings_for_boundary_condition_discrete(int(t)) for t in timesteps]
    torch.testing.assert_close(skip.flatten(), torch.tensor([float(w[0]) for w in wanted]))
    torch.testing.assert_close(out.flatten(), torch.tensor([float(w[1]) for w in wanted]))


def test_levels_at_which_few_steps_draw_come_more_often() -> None:
    settings = FewStepsTraining(batch=20_000)
    levels = random_levels(np.random.default_rng(0), settings)
    drawn = [lcm_timesteps(LEVELS).index(timestep) for timestep in lcm_timesteps(STEPS)]
    counts = np.bincount(levels, minlength=LEVELS)
    others = np.delete(counts, drawn)
    assert others.min() > 0
    assert counts[drawn].mean() / others.mean() == pytest.approx(settings.often, rel=0.1)


def test_the_loss_is_the_distance_of_what_the_scheduler_draws_from_the_ends(
    plan: Blueprint, with_denoiser: Path, tokenizer: CLIPTokenizer
) -> None:
    """The last of two steps of `LCMScheduler`, which adds no noise behind it."""
    model = load_denoiser(plan, with_denoiser, tokenizer)
    lcm = scheduler()
    lcm.set_timesteps(2)
    lcm.step(torch.zeros(2, 4, 16, 16), lcm.timesteps[0], torch.zeros(2, 4, 16, 16))
    timestep = lcm.timesteps[1]
    latents, ends = torch.randn(2, 2, *model.latent_shape)
    ids = torch.tensor(tokenizer(["a", "b"], padding="max_length", max_length=77).input_ids)
    with torch.no_grad():
        text = model.text_encoder(ids)[0]
        velocity = model.unet(latents, timestep, text).sample
        clean = lcm.step(velocity, timestep, latents).denoised
        points = Points(latents, timestep.expand(2), ids, ends)
        loss = end_loss(model, build_noise_schedule(), points, huber=1e-3)
    assert float(loss) == pytest.approx(float((clean - ends).abs().mean()), rel=1e-2)


def test_at_the_lowest_level_the_clean_latent_is_the_noisy_one() -> None:
    skip, out = boundary(torch.zeros(1))
    assert (float(skip), float(out)) == (1, 0)


def test_it_resumes_and_diffusers_reads_the_lora(
    plan: Blueprint, with_denoiser: Path, tokenizer: CLIPTokenizer
) -> None:
    train_few_steps(plan, replace(SHORT, steps=2), with_denoiser)
    train_few_steps(plan, SHORT, with_denoiser)
    assert torch.load(with_denoiser / few_steps.STATE_FILE, weights_only=True)["step"] == 3
    assert has_finished(with_denoiser, "few_steps")
    model = load_denoiser(plan, with_denoiser, tokenizer)
    pipeline = StableDiffusionPipeline(
        vae=load_average(plan, with_denoiser),
        unet=model.unet,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )

    def draw() -> np.ndarray:
        gen = torch.Generator().manual_seed(0)
        drawn = pipeline(
            "a child", num_inference_steps=2, guidance_scale=1, generator=gen, output_type="np"
        )
        return drawn.images[0]

    plain = draw()
    pipeline.load_lora_weights(with_denoiser / FAST_FOLDER)
    assert np.abs(draw() - plain).max() > 0
