"""Samplers of flow models: each is diffusers' class in its usual loop, with the same shift."""

import math
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.sampling.flow_shift import flow_shift
from lafi.sampling.schedule import PanelSchedule

CONFIG: dict[str, Any] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
}
BY_SIZE = CONFIG | {"use_dynamic_shifting": True, "shift": 3.0}
SIZE = (20, 30)
SHAPE = (4, 6, 5)
STEPS = 7
SAMPLERS = ("Euler", "EulerAncestral", "Heun", "LCM", "UniPC", "DPM++2M", "DPM++2MSDE", "DPM++SDE")


def model(latents: Tensor, timestep: float) -> Tensor:
    """Stands for the denoiser."""
    return torch.tanh(latents) * 0.5 + timestep / 2000.0


def ours(config: dict[str, Any] = CONFIG, **settings: Any) -> Tensor:
    schedule = PanelSchedule(SamplingStage(steps=STEPS, **settings), config, 5, SIZE)
    latents = schedule.initial_noise(SHAPE)
    while not schedule.done:
        prediction = model(schedule.scale(latents), schedule.timestep)
        latents = schedule.step(prediction, latents)
    assert schedule.index == STEPS
    return latents


def theirs(scheduler: Any, *, draws: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn((1, *SHAPE), generator=generator)
    drawn = {"generator": generator} if draws else {}
    for t in scheduler.timesteps:
        if float(t) == 0.0:
            break
        prediction = model(latents, float(t))
        latents = scheduler.step(prediction, t, latents, **drawn, return_dict=False)[0]
    return latents[0]


def euler(**options: Any) -> Any:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | options)
    scheduler.set_timesteps(STEPS)
    return scheduler


def ancestral(eta: float, s_noise: float) -> Any:
    scheduler = diffusers.LTXEulerAncestralRFScheduler(eta=eta, s_noise=s_noise)
    scheduler.set_timesteps(sigmas=euler().sigmas)
    return scheduler


def heun(shift: float = 3.0) -> Any:
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(STEPS)
    return scheduler


def lcm() -> Any:
    scheduler = diffusers.FlowMatchLCMScheduler(shift=3.0)
    scheduler.set_timesteps(STEPS)
    return scheduler


def multistep(name: str, shift: float = 3.0, **options: Any) -> Any:
    scheduler = getattr(diffusers, name)(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=shift, **options
    )
    scheduler.set_timesteps(STEPS)
    return scheduler


def solver(kind: str, shift: float = 3.0) -> Any:
    return multistep("DPMSolverMultistepScheduler", shift, algorithm_type=kind)


CASES: list[tuple[dict[str, Any], Callable[[], Any], bool]] = [
    ({"sampler": "Euler"}, euler, False),
    ({"sampler": "Euler", "shift": 7.0}, lambda: euler(shift=7.0), False),
    ({"sampler": "Euler", "sigmas": "karras"}, lambda: euler(use_karras_sigmas=True), False),
    ({"sampler": "Euler", "sigmas": "exponential"}, lambda: euler(use_exponential_sigmas=True), 0),
    ({"sampler": "Euler", "sigmas": "beta"}, lambda: euler(use_beta_sigmas=True), False),
    ({"sampler": "EulerAncestral"}, lambda: ancestral(1.0, 1.0), True),
    ({"sampler": "EulerAncestral", "eta": 0.4}, lambda: ancestral(0.4, 1.0), True),
    ({"sampler": "EulerAncestral", "s_noise": 0.8}, lambda: ancestral(1.0, 0.8), True),
    ({"sampler": "Heun"}, heun, False),
    ({"sampler": "Heun", "shift": 7.0}, lambda: heun(7.0), False),
    ({"sampler": "LCM"}, lcm, True),
    ({"sampler": "UniPC"}, lambda: multistep("UniPCMultistepScheduler"), False),
    ({"sampler": "DPM++2M"}, lambda: solver("dpmsolver++"), False),
    ({"sampler": "DPM++2M", "shift": 7.0}, lambda: solver("dpmsolver++", 7.0), False),
    ({"sampler": "DPM++2MSDE"}, lambda: solver("sde-dpmsolver++"), True),
]


@pytest.mark.parametrize(("settings", "scheduler", "draws"), CASES)
def test_a_schedule_is_the_class_of_diffusers_in_its_usual_loop(
    settings: dict[str, Any], scheduler: Callable[[], Any], draws: bool
) -> None:
    expected = theirs(scheduler(), draws=draws)
    torch.testing.assert_close(ours(**settings), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("sigmas", ["default", "karras"])
def test_a_shift_that_follows_the_size_is_that_of_flux(kind: Any, sigmas: Any) -> None:
    mu = calculate_shift(SIZE[0] * SIZE[1], 256, 4096, 0.5, 1.15)
    karras = sigmas == "karras"
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, time_shift_type=kind, use_karras_sigmas=karras
    )
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / STEPS, STEPS), mu=mu)
    drawn = ours(BY_SIZE, sampler="Euler", time_shift_type=kind, sigmas=sigmas)
    torch.testing.assert_close(drawn, theirs(scheduler), rtol=0, atol=1e-5)


def test_the_shift_of_a_stage_comes_before_that_of_the_model() -> None:
    def shift(config: dict[str, Any], size: tuple[int, int] | None = SIZE, **given: Any) -> float:
        return flow_shift(SamplingStage(**given), config, size).value

    mu = calculate_shift(600)
    assert shift(CONFIG, None) == 3.0
    assert shift(CONFIG, None, shift=7.0) == shift(BY_SIZE, None, shift=7.0) == 7.0
    assert shift(BY_SIZE) == pytest.approx(math.exp(mu))
    assert shift(BY_SIZE, time_shift_type="linear") == pytest.approx(mu)
    own = math.exp(calculate_shift(600, base_shift=1.0, max_shift=2.0))
    assert shift(BY_SIZE, base_shift=1.0, max_shift=2.0) == pytest.approx(own)
    assert shift(CONFIG, base_shift=1.0, max_shift=2.0) == pytest.approx(own)
    other = BY_SIZE | {"base_image_seq_len": 100, "max_image_seq_len": 1000, "max_shift": 3.0}
    assert shift(other) == pytest.approx(math.exp(calculate_shift(600, 100, 1000, 0.5, 3.0)))


@pytest.mark.parametrize(
    "sampler", ["EulerAncestral", "Heun", "UniPC", "DPM++2M", "DPM++SDE", "LCM"]
)
def test_every_sampler_can_follow_the_size(sampler: str) -> None:
    """One shift of exp(mu); those that begin as FLUX does begin there."""
    value = flow_shift(SamplingStage(), BY_SIZE, SIZE).value
    by_size = PanelSchedule(SamplingStage(steps=STEPS, sampler=sampler), BY_SIZE, 0, SIZE)
    fixed = PanelSchedule(
        SamplingStage(steps=STEPS, sampler=sampler, shift=value), BY_SIZE, 0, SIZE
    )
    first = min(2, len(fixed.timesteps))
    assert by_size.timesteps[:first] == pytest.approx(fixed.timesteps[:first], rel=0.05)
    assert torch.isfinite(ours(BY_SIZE, sampler=sampler)).all()


def test_a_shift_by_size_needs_the_size() -> None:
    with pytest.raises(
        ValueError, match=r"size: got nothing, allowed: \(height, width\) in tokens"
    ):
        PanelSchedule(SamplingStage(sampler="Euler"), BY_SIZE, 0)


def test_a_linear_shift_that_comes_out_at_nothing_is_refused() -> None:
    stage = SamplingStage(base_shift=0.1, max_shift=50.0, time_shift_type="linear")
    with pytest.raises(ValueError, match=r"base_shift and max_shift: got 0.1 and 50, which make"):
        flow_shift(stage, BY_SIZE, (2, 2))


@pytest.mark.parametrize("steps", [1, 2, 100])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_number_of_steps_ends_in_finite_latents(sampler: str, steps: int) -> None:
    schedule = PanelSchedule(SamplingStage(steps=steps, sampler=sampler), CONFIG, 0)
    latents = schedule.initial_noise(SHAPE)
    while not schedule.done:
        prediction = model(schedule.scale(latents), schedule.timestep)
        latents = schedule.step(prediction, latents)
    assert torch.isfinite(latents).all()
    assert schedule.index == schedule.steps == steps


@pytest.mark.parametrize("sampler", ["EulerAncestral", "LCM", "DPM++2MSDE", "DPM++SDE"])
def test_stochastic_samplers_draw_from_the_seed(sampler: str) -> None:
    ends = []
    for seed in (1, 2):
        schedule = PanelSchedule(SamplingStage(steps=STEPS, sampler=sampler), CONFIG, seed)
        schedule.initial_noise(SHAPE)
        latents = torch.ones(SHAPE)
        ends.append(schedule.step(model(latents, 999.0), latents))
    assert not torch.equal(*ends)


def test_the_share_of_noise_is_counted_before_the_shift() -> None:
    """Steps of a shifted schedule are even parts of it: what published workflows call percent."""
    schedule = PanelSchedule(SamplingStage(steps=5, sampler="DPM++2M", shift=7.0), CONFIG, 0)
    latents, shares = schedule.initial_noise(SHAPE), []
    while not schedule.done:
        shares.append(schedule.noise_share)
        latents = schedule.step(model(latents, schedule.timestep), latents)
    assert shares == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8], abs=0.01)
