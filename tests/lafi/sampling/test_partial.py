"""Stages that begin with a picture, and those that keep a part of it, as diffusers draws them."""

import inspect
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule

TRAINED: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
FLOW: dict[str, Any] = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
SDE = {"algorithm_type": "sde-dpmsolver++"}
CLASSES: dict[str, tuple[Any, dict[str, Any]]] = {
    "DDPM": (diffusers.DDPMScheduler, {}),
    "DDIM": (diffusers.DDIMScheduler, {}),
    "Euler": (diffusers.EulerDiscreteScheduler, {}),
    "EulerAncestral": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "Heun": (diffusers.HeunDiscreteScheduler, {}),
    "LCM": (diffusers.LCMScheduler, {}),
    "UniPC": (diffusers.UniPCMultistepScheduler, {}),
    "DPM++2M": (diffusers.DPMSolverMultistepScheduler, {}),
    "DPM++2MSDE": (diffusers.DPMSolverMultistepScheduler, SDE),
}
EVERY = [*((name, TRAINED) for name in [*CLASSES, "DPM++SDE"])]
EVERY += [(name, FLOW) for name, _ in EVERY if name not in ("DDPM", "DDIM")]
IDS = [f"{name}-{'flow' if config is FLOW else 'diffusion'}" for name, config in EVERY]
SHAPE = (4, 6, 5)
PICTURE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(8))
MASK = (torch.arange(30).reshape(6, 5) % 3 > 0).float()
STEPS, DENOISE, WHOLE = 16, 0.7, 23


def model(latents: Tensor, timestep: float) -> Tensor:
    """Stands for the denoiser."""
    return torch.tanh(latents) * 0.5 + timestep / 2000.0


def schedule_of(sampler: str, config: dict[str, Any], denoise: float = DENOISE) -> PanelSchedule:
    return PanelSchedule(
        SamplingStage(steps=STEPS, sampler=sampler, denoise=denoise), config, seed=5
    )


def run(schedule: PanelSchedule, latents: Tensor, mask: Tensor | None = None) -> Tensor:
    while not schedule.done:
        prediction = model(schedule.scale(latents), schedule.timestep)
        latents = schedule.step(prediction, latents)
        if mask is not None:
            latents = schedule.keep(latents, PICTURE, mask)
    return latents


class TheirLoop:
    """Latents as diffusers' img2img and inpaint pipelines move them, with a toy for the model."""

    def __init__(self, sampler: str) -> None:
        made, options = CLASSES[sampler]
        self.scheduler = made.from_config(TRAINED, **options)
        self.generator = torch.Generator().manual_seed(5)
        self.noise = torch.randn((1, *SHAPE), generator=self.generator)

    def timesteps(self, whole: int, skipped: int) -> Tensor:
        self.scheduler.set_timesteps(whole)
        first = skipped * self.scheduler.order
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first)
        return self.scheduler.timesteps[first:]

    def run(self, latents: Tensor, timesteps: Tensor, mask: Tensor | None = None) -> Tensor:
        draws = "generator" in inspect.signature(self.scheduler.step).parameters
        drawn = {"generator": self.generator} if draws else {}
        for i, t in enumerate(timesteps):
            prediction = model(self.scheduler.scale_model_input(latents, t), float(t))
            latents = self.scheduler.step(prediction, t, latents, **drawn, return_dict=False)[0]
            if mask is None:
                continue
            original = PICTURE[None]
            if i < len(timesteps) - 1:
                level = timesteps[i + 1][None]
                original = self.scheduler.add_noise(original, self.noise, level)
            latents = (1 - mask) * original + mask * latents
        return latents[0]


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("sampler", CLASSES)
def test_a_stage_from_a_picture_is_diffusers_image_to_image(
    sampler: str, mask: Tensor | None
) -> None:
    theirs = TheirLoop(sampler)
    timesteps = theirs.timesteps(WHOLE, WHOLE - STEPS)
    start = theirs.scheduler.add_noise(PICTURE[None], theirs.noise, timesteps[:1])
    expected = theirs.run(start, timesteps, mask)
    ours = schedule_of(sampler, TRAINED)
    assert ours.steps == STEPS
    torch.testing.assert_close(run(ours, ours.start(PICTURE), mask), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", CLASSES)
def test_a_masked_stage_from_noise_is_diffusers_inpainting_at_full_strength(sampler: str) -> None:
    theirs = TheirLoop(sampler)
    timesteps = theirs.timesteps(STEPS, 0)
    expected = theirs.run(theirs.noise * theirs.scheduler.init_noise_sigma, timesteps, MASK)
    ours = schedule_of(sampler, TRAINED, denoise=1.0)
    drawn = run(ours, ours.initial_noise(SHAPE), MASK)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)
    assert torch.equal(drawn[:, MASK == 0], PICTURE[:, MASK == 0])


@pytest.mark.parametrize(("sampler", "config"), EVERY, ids=IDS)
def test_a_picture_is_noised_to_the_level_of_the_coming_call(
    sampler: str, config: dict[str, Any]
) -> None:
    """As the model sees it, with one noise for the stage; midway in a step too."""
    schedule = schedule_of(sampler, config)
    noise = torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(5))[0]
    process = noise_model_of(config)
    latents = schedule.start(PICTURE)
    while not schedule.done:
        seen = schedule.scale(schedule.noised_original(PICTURE))
        expected = process.noised(PICTURE, noise, schedule.timestep)
        # Multistep solvers say whole timesteps of a flow; levels between two are interpolated.
        torch.testing.assert_close(seen, expected, rtol=0, atol=5e-3)
        prediction = model(schedule.scale(latents), schedule.timestep)
        latents = schedule.step(prediction, latents)
    assert torch.equal(schedule.noised_original(PICTURE), PICTURE)


@pytest.mark.parametrize(("sampler", "config"), EVERY, ids=IDS)
def test_steps_are_the_last_of_the_whole_schedule(sampler: str, config: dict[str, Any]) -> None:
    whole = PanelSchedule(SamplingStage(steps=WHOLE, sampler=sampler), config, 5)
    part = schedule_of(sampler, config)
    assert part.steps == STEPS
    assert list(part.timesteps) == list(whole.timesteps)[-len(part.timesteps) :]
    assert part.timestep < whole.timestep
    assert part.noise_share == pytest.approx(1 - DENOISE, abs=0.06)


@pytest.mark.parametrize(("sampler", "config"), EVERY, ids=IDS)
def test_where_nothing_is_drawn_anew_the_picture_stays(
    sampler: str, config: dict[str, Any]
) -> None:
    schedule = schedule_of(sampler, config)
    nothing = torch.zeros(6, 5)
    assert torch.equal(run(schedule, schedule.start(PICTURE), nothing), PICTURE)


@pytest.mark.parametrize(("sampler", "config"), EVERY, ids=IDS)
def test_a_model_that_knows_the_picture_draws_it(sampler: str, config: dict[str, Any]) -> None:
    """Its prediction is exact at every point, so noise and all, each step leads to the picture."""
    schedule = schedule_of(sampler, config | {"set_alpha_to_one": True})
    process, latents = noise_model_of(config), schedule.start(PICTURE)
    while not schedule.done:
        seen, timestep = schedule.scale(latents), schedule.timestep
        point = process.flow_point(seen, timestep)
        signal = process.noised(torch.ones(()), torch.zeros(()), timestep)
        level = process.noised(torch.zeros(()), torch.ones(()), timestep)
        flow = (point - PICTURE) * (signal + level) / level
        latents = schedule.step(process.from_flow(point, flow, timestep), latents)
    # Multistep solvers of diffusers say whole timesteps of a flow.
    torch.testing.assert_close(latents, PICTURE, rtol=0, atol=5e-3)


def test_noise_of_a_start_is_that_of_a_stage_from_nothing() -> None:
    flow = FLOW | {"shift": 1.0}
    noise = PanelSchedule(SamplingStage(sampler="Euler"), flow, 3).initial_noise(SHAPE)
    started = PanelSchedule(SamplingStage(sampler="Euler"), flow, 3).start(torch.zeros(SHAPE))
    assert torch.equal(started, noise), "a flow begins with noise alone at t = 1"
