"""Noise schedules: those of diffusers, repeatable, each with its own generator."""

import inspect
from typing import Any, get_args

import diffusers
import pytest
import torch
from torch import Tensor

from lafi.board.stages import Sampler, SamplingStage
from lafi.sampling.schedule import PanelSchedule

EPSILON: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "clip_sample": False,
    "steps_offset": 1,
}
VELOCITY = EPSILON | {
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}
CONFIGS = {"epsilon": EPSILON, "v_prediction": VELOCITY}
CLASSES = {
    "DDPM": diffusers.DDPMScheduler,
    "DDIM": diffusers.DDIMScheduler,
    "Euler": diffusers.EulerDiscreteScheduler,
    "EulerAncestral": diffusers.EulerAncestralDiscreteScheduler,
    "Heun": diffusers.HeunDiscreteScheduler,
    "LCM": diffusers.LCMScheduler,
    "UniPC": diffusers.UniPCMultistepScheduler,
    "DPM++2M": diffusers.DPMSolverMultistepScheduler,
    "DPM++2MSDE": diffusers.DPMSolverMultistepScheduler,
}
STOCHASTIC = ("DDPM", "EulerAncestral", "LCM", "DPM++2MSDE", "DPM++SDE")
WITH_SIGMAS = ("Euler", "Heun", "UniPC", "DPM++2M", "DPM++2MSDE")
SHAPE = (4, 6, 5)


def model(latents: Tensor) -> Tensor:
    """Stands for the denoiser."""
    return torch.tanh(latents) * 0.5


def run(schedule: PanelSchedule) -> Tensor:
    latents = schedule.initial_noise(SHAPE)
    while not schedule.done:
        latents = schedule.step(model(schedule.scale(latents)), latents)
    return latents


def stage(sampler: str, steps: int = 7, sigmas: str = "default") -> SamplingStage:
    return SamplingStage(steps=steps, sampler=sampler, sigmas=sigmas)


def config_for(sampler: str, config: str) -> dict[str, Any]:
    """Heun's class of diffusers knows no schedule that ends without signal."""
    known = {} if sampler != "Heun" else {"rescale_betas_zero_snr": False}
    return CONFIGS[config] | known


def scheduler_of(sampler: str, config: dict[str, Any], **options: Any) -> Any:
    """As a user of diffusers makes it."""
    if sampler == "DPM++2MSDE":
        options["algorithm_type"] = "sde-dpmsolver++"
    return CLASSES[sampler].from_config(config, **options)


def usual_loop(scheduler: Any, latents: Tensor, generator: torch.Generator, begin: int = 0) -> Any:
    drawn = {"generator": generator}
    if "generator" not in inspect.signature(scheduler.step).parameters:
        drawn = {}
    for t in scheduler.timesteps[begin:]:
        prediction = model(scheduler.scale_model_input(latents, t))
        latents = scheduler.step(prediction, t, latents, **drawn).prev_sample
    return latents[0]


def test_every_sampler_of_a_storyboard_is_known() -> None:
    assert {*CLASSES, "DPM++SDE"} == set(get_args(Sampler))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("sampler", CLASSES)
def test_a_schedule_is_the_class_of_diffusers_in_its_usual_loop(sampler: str, config: str) -> None:
    given = config_for(sampler, config)
    scheduler = scheduler_of(sampler, given)
    scheduler.set_timesteps(7)
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn((1, *SHAPE), generator=generator) * scheduler.init_noise_sigma
    expected = usual_loop(scheduler, latents, generator)
    assert torch.equal(run(PanelSchedule(stage(sampler), given, 5)), expected)


@pytest.mark.parametrize("sigmas", ["karras", "exponential", "beta"])
@pytest.mark.parametrize("sampler", WITH_SIGMAS)
def test_other_sigmas_are_those_of_the_class(sampler: str, sigmas: str) -> None:
    if sigmas == "beta":
        pytest.importorskip("scipy")
    scheduler = scheduler_of(sampler, EPSILON, **{f"use_{sigmas}_sigmas": True})
    scheduler.set_timesteps(7)
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn((1, *SHAPE), generator=generator) * scheduler.init_noise_sigma
    expected = usual_loop(scheduler, latents, generator)
    ours = PanelSchedule(stage(sampler, sigmas=sigmas), EPSILON, 5)
    assert ours.steps == 7
    assert torch.equal(run(ours), expected)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_eta_is_that_of_ddim(eta: float) -> None:
    scheduler = scheduler_of("DDIM", EPSILON)
    scheduler.set_timesteps(7)
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn((1, *SHAPE), generator=generator)
    for t in scheduler.timesteps:
        latents = scheduler.step(model(latents), t, latents, eta, generator=generator).prev_sample
    ours = run(PanelSchedule(SamplingStage(steps=7, sampler="DDIM", eta=eta), EPSILON, 5))
    assert torch.equal(ours, latents[0])


@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_a_schedule_repeats_and_does_not_depend_on_its_company(sampler: str) -> None:
    config = config_for(sampler, "v_prediction")
    alone = run(PanelSchedule(stage(sampler), config, 3))
    ours, other = (PanelSchedule(stage(sampler), config, seed) for seed in (3, 4))
    a, b = ours.initial_noise(SHAPE), other.initial_noise(SHAPE)
    while not ours.done:
        torch.rand(3)
        b = other.step(model(other.scale(b)), b)
        a = ours.step(model(ours.scale(a)), a)
    assert torch.equal(a, alone)
    assert not torch.equal(a, b)


@pytest.mark.parametrize("sampler", STOCHASTIC)
def test_stochastic_samplers_draw_from_the_seed(sampler: str) -> None:
    """After the same first noise, other seeds go other ways."""
    ends = []
    for seed in (1, 2):
        schedule = PanelSchedule(stage(sampler), EPSILON, seed)
        schedule.initial_noise(SHAPE)
        latents = torch.ones(SHAPE)
        ends.append(schedule.step(model(schedule.scale(latents)), latents))
    assert not torch.equal(*ends)


@pytest.mark.parametrize("sampler", get_args(Sampler))
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_every_number_of_steps_ends_in_finite_latents(sampler: str, steps: int) -> None:
    schedule = PanelSchedule(stage(sampler, steps), config_for(sampler, "v_prediction"), 0)
    assert schedule.steps == steps
    assert torch.isfinite(run(schedule)).all()
    assert schedule.index == steps


@pytest.mark.parametrize("sampler", ["Heun", "DPM++SDE"])
def test_a_step_may_be_two_calls(sampler: str) -> None:
    """The last is one, and a step is counted when it is finished."""
    schedule = PanelSchedule(stage(sampler, 3), EPSILON, 0)
    latents, seen = schedule.initial_noise(SHAPE), []
    assert len(schedule.timesteps) == 5
    while not schedule.done:
        seen.append((schedule.index, schedule.midway, schedule.timestep))
        latents = schedule.step(model(schedule.scale(latents)), latents)
    assert [step[:2] for step in seen] == [(0, False), (0, True), (1, False), (1, True), (2, False)]
    assert [step[2] for step in seen] == list(schedule.timesteps)
    assert (schedule.index, schedule.midway) == (3, False)


@pytest.mark.parametrize("sampler", ["DDIM", "DDPM", "Euler", "Heun", "UniPC", "DPM++2M"])
def test_trailing_timesteps_end_before_none_is_left(sampler: str) -> None:
    """With 61 steps diffusers counts down to -1, which stands for the noisiest of all."""
    given = EPSILON | {"timestep_spacing": "trailing"}
    scheduler = scheduler_of(sampler, given)
    scheduler.set_timesteps(61)
    schedule = PanelSchedule(stage(sampler, 61), given, 0)
    calls = 121 if sampler == "Heun" else 61
    assert float(scheduler.timesteps[-1]) == -1.0, "diffusers has mended it"
    assert schedule.timesteps == scheduler.timesteps[:calls].tolist()
    assert torch.isfinite(run(schedule)).all()
    assert schedule.index == 61


def test_ddim_with_linspace_ends_each_step_where_the_next_begins() -> None:
    """Equation 12 of arXiv:2010.02502 along the listed timesteps; diffusers' class strays."""
    given = EPSILON | {"timestep_spacing": "linspace"}
    alphas = diffusers.DDIMScheduler.from_config(given).alphas_cumprod
    latents = torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(5))[0]
    listed = [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
    for t, following in zip(listed, [*listed[1:], None], strict=True):
        a = alphas[t]
        b = alphas[following] if following is not None else torch.tensor(1.0)
        noise = model(latents)
        picture = (latents - (1 - a).sqrt() * noise) / a.sqrt()
        latents = b.sqrt() * picture + (1 - b).sqrt() * noise
    schedule = PanelSchedule(stage("DDIM", 10), given, 5)
    assert schedule.timesteps == listed
    torch.testing.assert_close(run(schedule), latents)
    scheduler = scheduler_of("DDIM", given)
    scheduler.set_timesteps(10)
    start = torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(5))
    strayed = usual_loop(scheduler, start, torch.Generator())
    assert not torch.allclose(strayed, latents, atol=0.05)
