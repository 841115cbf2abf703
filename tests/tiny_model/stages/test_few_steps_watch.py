"""What the stage `few_steps` looks at is what diffusers draws, and each look is written down."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.blueprint import Blueprint, build_noise_schedule
from lafi_tiny.stages.few_steps_watch import CURVE_FILE, STEPS, FewStepsWatch, draw_few_steps
from lafi_tiny.stages.reader import Reader
from lafi_tiny.stages.text_to_latent import load_denoiser
from lafi_tiny.training import save_half


@pytest.mark.usefixtures("in_float32")
def test_pictures_are_those_of_diffusers_pipeline(
    plan: Blueprint, with_denoiser: Path, tokenizer: CLIPTokenizer
) -> None:
    model, vae = load_denoiser(plan, with_denoiser, tokenizer), load_average(plan, with_denoiser)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        unet=model.unet,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        scheduler=LCMScheduler.from_config(build_noise_schedule().config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    captions = ["a child runs", "a child in the snow"]
    wanted = pipeline(
        captions,
        num_inference_steps=STEPS,
        guidance_scale=1,
        generator=torch.Generator().manual_seed(12),
        height=plan.side,
        width=plan.side,
        output_type="np",
    ).images
    found = (draw_few_steps(model, vae, tokenizer, captions) + 1) / 2
    assert np.abs(found.permute(0, 2, 3, 1).numpy() - wanted).max() < 0.02


def test_each_look_adds_a_line_and_a_grid_and_moves_no_other_random_number(
    plan: Blueprint, with_denoiser: Path, tokenizer: CLIPTokenizer
) -> None:
    vae, model = load_average(plan, with_denoiser), load_denoiser(plan, with_denoiser, tokenizer)
    watch = FewStepsWatch(with_denoiser, vae, tokenizer, panels=2)
    watch.look(model, 0)
    assert not (with_denoiser / CURVE_FILE).exists()
    save_half(Reader(), with_denoiser / "reader.safetensors")
    state = torch.get_rng_state()
    watch.look(model, 0)
    watch.look(model, 100)
    assert torch.equal(torch.get_rng_state(), state)
    rows = [json.loads(line) for line in (with_denoiser / CURVE_FILE).read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 100]
    assert (rows[0]["action"], rows[0]["scene"]) == (rows[1]["action"], rows[1]["scene"])
    assert (with_denoiser / "grids" / "few_steps_000100.png").exists()
