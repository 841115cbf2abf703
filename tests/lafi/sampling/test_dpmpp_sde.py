"""DPM++SDE against k-diffusion's function and the paper's equations, with the same noise."""

import math
from itertools import pairwise
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.sampling.dpmpp_sde import below_one
from lafi.sampling.flow_shift import FlowShift
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule

EPSILON: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
}
VELOCITY = EPSILON | {"prediction_type": "v_prediction"}
FLOW: dict[str, Any] = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
CONFIGS = {"epsilon": EPSILON, "v_prediction": VELOCITY, "flow": FLOW}
SHAPE = (1, 2, 3)
SEED, STEPS = 5, 6

K_DIFFUSION = {
    ("diffusion", 1.0, 1.0): [-0.275866, -0.485801, -0.2993, 0.379664, -0.373534, 0.034862],
    ("diffusion", 0.4, 1.2): [-0.499606, -0.640699, -0.361938, 0.476228, -0.47982, 0.623347],
    ("diffusion", 0.0, 1.0): [-0.375393, -0.430697, -0.410562, 0.455937, -0.17789, 0.658873],
    ("flow", 1.0, 1.0): [-0.180125, -0.524847, -0.40571, 0.37506, -0.384645, -0.261503],
    ("flow", 0.4, 1.2): [-0.37468, -0.623147, -0.417451, 0.565661, -0.530587, 0.590743],
    ("flow", 0.0, 1.0): [-0.389399, -0.442567, -0.423397, 0.466271, -0.188808, 0.639952],
}
"""By noise model, eta and s_noise: what `sample_dpmpp_sde` of k-diffusion 0.1.1.post1 made of
`ratios`, the noise of generator 5, `picture` for its model, and `path` for its noise sampler; a
flow's latents were divided by 1 - t. The package is not installed here, it brings 17 others."""


def picture(point: Tensor, ratio: float) -> Tensor:
    """Stands for the denoiser, where point is picture + ratio * noise."""
    return torch.tanh(point / (1.0 + ratio))


def ratios(config: dict[str, Any], **options: Any) -> list[float]:
    """Noise / picture before each step, and 0."""
    if config is not FLOW:
        scheduler = diffusers.EulerDiscreteScheduler.from_config(config, **options)
        scheduler.set_timesteps(STEPS)
        return [float(sigma) for sigma in scheduler.sigmas]
    flow = diffusers.FlowMatchEulerDiscreteScheduler.from_config(config, **options)
    flow.set_timesteps(STEPS)
    sigmas = [float(sigma) for sigma in flow.sigmas]
    assert sigmas[0] == 1.0
    sigmas[0] = 3.0 * 0.9999 / (1.0 + 2.0 * 0.9999)
    return [sigma / (1.0 - sigma) for sigma in sigmas]


def predicted(config: dict[str, Any], latents: Tensor, ratio: float) -> Tensor:
    """What a model says that takes `picture` for the picture."""
    if config is FLOW:
        return (latents - picture(latents * (1.0 + ratio), ratio)) * (1.0 + ratio) / ratio
    clean = picture(latents, ratio)
    noise = (latents - clean) / ratio
    if config is EPSILON:
        return noise
    return (noise - ratio * clean) / math.sqrt(1.0 + ratio**2)


def drawn(config: dict[str, Any], **settings: Any) -> Tensor:
    stage = SamplingStage(steps=STEPS, sampler="DPM++SDE", **settings)
    sigmas = settings.get("sigmas")
    levels = ratios(config, **({f"use_{sigmas}_sigmas": True} if sigmas else {}))
    schedule = PanelSchedule(stage, config, SEED)
    latents = schedule.initial_noise(SHAPE)
    while not schedule.done:
        ratio = levels[schedule.index]
        if schedule.midway:
            ratio = math.sqrt(ratio * levels[schedule.index + 1])
        seen = schedule.scale(latents)
        expected = latents if config is FLOW else latents / math.sqrt(1.0 + ratio**2)
        torch.testing.assert_close(seen, expected)
        latents = schedule.step(predicted(config, latents, ratio), latents)
    return latents


@pytest.mark.parametrize(("eta", "s_noise"), [(1.0, 1.0), (0.4, 1.2), (0.0, 1.0)])
@pytest.mark.parametrize("config", CONFIGS)
def test_it_is_the_function_of_k_diffusion(config: str, eta: float, s_noise: float) -> None:
    ours = drawn(CONFIGS[config], eta=eta, s_noise=s_noise)
    kind = "flow" if config == "flow" else "diffusion"
    expected = torch.tensor(K_DIFFUSION[kind, eta, s_noise]).reshape(SHAPE)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def path(generator: torch.Generator, start: float, middle: float, end: float) -> list[Tensor]:
    """Unit noise from start to middle and from start to end, of one Brownian path."""
    first, second = (torch.randn((1, *SHAPE), generator=generator)[0] for _ in range(2))
    whole = math.sqrt(start - middle) * first + math.sqrt(middle - end) * second
    return [first, whole / math.sqrt(start - end)]


def by_the_paper(config: dict[str, Any], levels: list[float]) -> Tensor:
    """The stochastic equation of arXiv:2211.01095, of second order with r = 1/2.

    x = alpha * picture + sigma * noise, lambda = log(alpha / sigma), h is a step in lambda.
    """
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn((1, *SHAPE), generator=generator)[0]
    x = noise * mixed(config, levels[0])[1]
    if config is not FLOW:
        x = noise * levels[0] * mixed(config, levels[0])[0]
    for r_s, r_t in pairwise(levels):
        (a_s, s_s), r_m = mixed(config, r_s), math.sqrt(r_s * r_t)
        seen = picture(x / a_s, r_s)
        if r_t == 0.0:
            return seen
        (a_m, s_m), (a_t, s_t) = mixed(config, r_m), mixed(config, r_t)
        times = (s_s, s_m, s_t) if config is FLOW else (r_s, r_m, r_t)
        first, whole = path(generator, *times)
        h = math.log(r_s / r_t)
        x_m = s_m / s_s * math.exp(-h / 2) * x + a_m * (1 - math.exp(-h)) * seen
        x_m = x_m + s_m * math.sqrt(1 - math.exp(-h)) * first
        x = s_t / s_s * math.exp(-h) * x + a_t * (1 - math.exp(-2 * h)) * picture(x_m / a_m, r_m)
        x = x + s_t * math.sqrt(1 - math.exp(-2 * h)) * whole
    raise AssertionError("the last level is 0")


def mixed(config: dict[str, Any], ratio: float) -> tuple[float, float]:
    """alpha and sigma: their squares, or in a flow they, add up to 1."""
    alpha = 1.0 / (1.0 + ratio) if config is FLOW else 1.0 / math.sqrt(1.0 + ratio**2)
    return alpha, alpha * ratio


@pytest.mark.parametrize("sigmas", [None, "karras", "exponential", "beta"])
@pytest.mark.parametrize("config", CONFIGS)
def test_it_is_the_stochastic_equation_of_the_paper(config: str, sigmas: str | None) -> None:
    given = CONFIGS[config]
    options = {} if sigmas is None else {f"use_{sigmas}_sigmas": True}
    settings = {} if sigmas is None else {"sigmas": sigmas}
    expected = by_the_paper(given, ratios(given, **options))
    # A flow begins with noise alone, where the paper's x has 0.00003 less of it.
    torch.testing.assert_close(drawn(given, **settings), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_model_is_told_the_timestep_of_every_call(config: str) -> None:
    """Its noise level is that of the latents, in the middle of a step too."""
    given = CONFIGS[config]
    levels = ratios(given)
    steps = [*pairwise(levels)]
    calls = [r for a, b in steps for r in (a, math.sqrt(a * b)) if r > 0.0]
    process = noise_model_of(given)
    schedule = PanelSchedule(SamplingStage(steps=STEPS, sampler="DPM++SDE"), given, 0)
    said = [process.timestep_at(r / (1 + r) if given is FLOW else r) for r in calls]
    # Between two timesteps diffusers interpolates levels, and we their logarithms.
    assert schedule.timesteps == pytest.approx(said, abs=0.05)


def test_one_step_is_one_call() -> None:
    schedule = PanelSchedule(SamplingStage(steps=1, sampler="DPM++SDE"), FLOW, 0)
    latents = schedule.initial_noise(SHAPE)
    stepped = schedule.step(latents, latents)
    assert schedule.done
    torch.testing.assert_close(stepped, torch.zeros(SHAPE), rtol=0, atol=1e-4)


def test_the_first_level_of_a_flow_has_a_picture_in_it() -> None:
    assert below_one([1.0, 0.5, 0.0], FlowShift(1.0)) == [0.9999, 0.5, 0.0]
    assert below_one([1.0, 0.5, 0.0], FlowShift(7.0))[0] == pytest.approx(1.0 - 1e-4 / 7, abs=1e-8)
    assert below_one([0.8, 0.5, 0.0], FlowShift(7.0)) == [0.8, 0.5, 0.0]
    assert below_one([1.0, 0.99998, 0.0], FlowShift(1.0))[0] == pytest.approx(0.99999, abs=1e-9)


@pytest.mark.parametrize("config", CONFIGS)
def test_levels_may_lie_close_together(config: str) -> None:
    """Beta sigmas crowd at both ends; a flow's second is closer to 1 than its first would be."""
    stage = SamplingStage(steps=100, sampler="DPM++SDE", sigmas="beta", denoise=0.1)
    schedule = PanelSchedule(stage, CONFIGS[config], 0)
    latents = schedule.start(torch.ones(SHAPE))
    while not schedule.done:
        latents = schedule.step(torch.tanh(latents), latents)
    assert torch.isfinite(latents).all()
    whole = PanelSchedule(stage.model_copy(update={"steps": 150, "denoise": 0.15}), FLOW, 0)
    assert [*whole.timesteps] == sorted(whole.timesteps, reverse=True)
