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
    neighbours,
    train_few_steps,
)
from lafi_tiny.stages.stage_folder import has_finished
from lafi_tiny.stages.text_to_latent import load_denoiser

SHORT = FewStepsTraining(steps=3, batch=2, rank=2, pictures=20, peak_rate=1e-3)


def scheduler() -> LCMScheduler:
    return LCMScheduler.from_config(build_noise_schedule().config)


def test_the_boundary_is_the_schedulers() -> None:
    timesteps = torch.arange(0, 1000, 37)
    skip, out = boundary(timesteps)
    wanted = [scheduler().get_scalings_for_boundary_condition_discrete(int(t)) for t in timesteps]
    torch.testing.assert_close(skip.flatten(), torch.tensor([float(w[0]) for w in wanted]))
    torch.testing.assert_close(out.flatten(), torch.tensor([float(w[1]) for w in wanted]))


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_the_levels_are_those_that_the_scheduler_draws_at(steps: int) -> None:
    drawn = scheduler()
    drawn.set_timesteps(steps)
    high, low = neighbours(np.random.default_rng(0), 5000, FewStepsTraining())
    assert {*drawn.timesteps.tolist()} <= {*high.tolist()}
    assert ((high - low == 20) | (low == 0)).all()


def test_at_the_lowest_level_the_clean_latent_is_the_noisy_one() -> None:
    skip, out = boundary(torch.zeros(1))
    assert (float(skip), float(out)) == (1, 0)


def test_a_step_of_the_solver_is_diffusers_ddim(
    plan: Blueprint, with_denoiser: Path, tokenizer: CLIPTokenizer
) -> None:
    model, schedule = load_denoiser(plan, with_denoiser, tokenizer), build_noise_schedule()
    model.unet.add_adapter(few_steps.LoraConfig(r=2, target_modules=["to_q"]))
    schedule.set_timesteps(50)
    noisy, text = torch.randn(1, 4, 16, 16), torch.randn(2, 77, plan.text_width)
    high = torch.tensor([int(schedule.timesteps[10])])
    with torch.no_grad():
        ours = few_steps._solved(model, schedule, noisy, high, high - 20, text, 3.0)
        model.unet.disable_adapters()
        both = few_steps._velocity(model, torch.cat([noisy] * 2), torch.cat([high] * 2), text)
    said, unsaid = both.chunk(2)
    wanted = schedule.step(unsaid + 3.0 * (said - unsaid), high[0], noisy).prev_sample
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-4)


def test_more_pictures_are_encoded_while_it_trains(
    plan: Blueprint, with_denoiser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_steps, "GROW_EVERY", 1)
    train_few_steps(plan, replace(SHORT, steps=2, pictures=60), with_denoiser)
    files = sorted(with_denoiser.glob("latents_*/latents_*.npy"))
    assert [file.name for file in files] == [f"latents_{i:07d}.npy" for i in (0, 20, 40)]


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
