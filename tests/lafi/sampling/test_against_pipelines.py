"""A stage from a picture, whole or masked, against diffusers' own pipelines and a real UNet."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.sampling.guidance import guidance_of
from lafi.sampling.schedule import PanelSchedule

SIDE, WHOLE, SEED = 32, 8, 11
LATENTS = (4, 8, 8)
PROMPT, NEGATIVE = "a child on the beach", "a night"
PICTURE = torch.randn(LATENTS, generator=torch.Generator().manual_seed(8))
MASK = torch.zeros(8, 8)
MASK[2:6, 1:5] = 1.0
CLASSES = {
    "DDIM": DDIMScheduler,
    "Euler": EulerDiscreteScheduler,
    "EulerAncestral": EulerAncestralDiscreteScheduler,
    "Heun": HeunDiscreteScheduler,
    "DPM++2M": DPMSolverMultistepScheduler,
}


def pipeline(kind: Any, checkpoint: Path, sampler: str) -> Any:
    pipe = kind.from_pretrained(checkpoint)
    pipe.scheduler = CLASSES[sampler].from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def theirs(pipe: Any, strength: float, **settings: Any) -> Tensor:
    result: Tensor = pipe(
        PROMPT,
        negative_prompt=NEGATIVE,
        image=PICTURE[None],
        strength=strength,
        num_inference_steps=WHOLE,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(SEED),
        output_type="latent",
        **settings,
    ).images
    return result[0]


@torch.no_grad()
def ours(pipe: Any, sampler: str, denoise: float, mask: Tensor | None) -> Tensor:
    stage = SamplingStage(
        steps=round(WHOLE * denoise),
        sampler=sampler,
        denoise=denoise,
        guidance=4.0,
    )
    positive, negative = pipe.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)
    schedule = PanelSchedule(stage, dict(pipe.scheduler.config), SEED)
    guidance = guidance_of(stage, "rows")
    latents = schedule.initial_noise(LATENTS) if denoise == 1.0 else schedule.start(PICTURE)
    while not schedule.done:
        assert guidance.rows(schedule.index, schedule.steps) == 2
        rows = torch.stack([schedule.scale(latents)] * 2)
        text = torch.cat([negative, positive])
        prediction = pipe.unet(rows, schedule.timestep, encoder_hidden_states=text).sample
        latents = schedule.step(guidance.combine(prediction), latents)
        if mask is not None:
            latents = schedule.keep(latents, PICTURE, mask)
    return latents


@pytest.mark.parametrize("sampler", CLASSES)
def test_a_stage_from_a_picture_is_image_to_image(checkpoint: Path, sampler: str) -> None:
    pipe = pipeline(StableDiffusionImg2ImgPipeline, checkpoint, sampler)
    expected = theirs(pipe, 0.75)
    drawn = ours(pipe, sampler, 0.75, None)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("denoise", [0.5, 1.0])
@pytest.mark.parametrize("sampler", CLASSES)
def test_a_masked_stage_is_inpainting(checkpoint: Path, sampler: str, denoise: float) -> None:
    pipe = pipeline(StableDiffusionInpaintPipeline, checkpoint, sampler)
    expected = theirs(
        pipe,
        denoise,
        mask_image=MASK.repeat_interleave(4, 0).repeat_interleave(4, 1)[None, None],
        masked_image_latents=PICTURE[None],
        width=SIDE,
        height=SIDE,
    )
    drawn = ours(pipe, sampler, denoise, MASK)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)
    assert torch.equal(drawn[:, MASK == 0], PICTURE[:, MASK == 0])
