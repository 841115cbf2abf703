"""Noise schedules: those of diffusers, repeatable, each with its own generator."""

from typing import Any, get_args

import diffusers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.board.stages import Sampler, SamplingStage
from lafi.sampling.schedule import ForwardProcess, PanelSchedule, check_stage

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
    "DPM++2M": diffusers.DPMSolverMultistepScheduler,
    "DPM++2MSDE": diffusers.DPMSolverMultistepScheduler,
}
SHAPE = (4, 6, 5)
ONE = torch.ones((), dtype=torch.float64)


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


def test_every_sampler_of_a_storyboard_is_known() -> None:
    assert set(CLASSES) == set(get_args(Sampler))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("sampler", CLASSES)
def test_a_schedule_is_the_class_of_diffusers_in_its_usual_loop(sampler: str, config: str) -> None:
    options = {"algorithm_type": "sde-dpmsolver++"} if sampler == "DPM++2MSDE" else {}
    scheduler = CLASSES[sampler].from_config(CONFIGS[config], **options)
    scheduler.set_timesteps(7)
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn((1, *SHAPE), generator=generator) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        prediction = model(scheduler.scale_model_input(latents, t))
        latents = scheduler.step(prediction, t, latents, generator=generator).prev_sample
    ours = run(PanelSchedule(stage(sampler), CONFIGS[config], 5))
    assert torch.equal(ours, latents[0])


@pytest.mark.parametrize("sampler", CLASSES)
def test_a_schedule_repeats_and_does_not_depend_on_its_company(sampler: str) -> None:
    alone = run(PanelSchedule(stage(sampler), VELOCITY, 3))
    ours, other = (PanelSchedule(stage(sampler), VELOCITY, seed) for seed in (3, 4))
    a, b = ours.initial_noise(SHAPE), other.initial_noise(SHAPE)
    while not ours.done:
        torch.rand(3)
        b = other.step(model(other.scale(b)), b)
        a = ours.step(model(ours.scale(a)), a)
    assert torch.equal(a, alone)
    assert not torch.equal(a, b)


@pytest.mark.parametrize("sampler", ["DDPM", "EulerAncestral", "DPM++2MSDE"])
def test_stochastic_samplers_draw_from_the_seed(sampler: str) -> None:
    """After the same first noise, other seeds go other ways."""
    ends = []
    for seed in (1, 2):
        schedule = PanelSchedule(stage(sampler), EPSILON, seed)
        schedule.initial_noise(SHAPE)
        latents = torch.ones(SHAPE)
        ends.append(schedule.step(model(schedule.scale(latents)), latents))
    assert not torch.equal(*ends)


@pytest.mark.parametrize("sigmas", ["karras", "beta"])
@pytest.mark.parametrize("sampler", ["Euler", "DPM++2M", "DPM++2MSDE"])
def test_other_sigmas_change_the_schedule(sampler: str, sigmas: str) -> None:
    if sigmas == "beta":
        pytest.importorskip("scipy")
    plain = PanelSchedule(stage(sampler), EPSILON, 0)
    changed = PanelSchedule(stage(sampler, sigmas=sigmas), EPSILON, 0)
    assert changed.steps == plain.steps == 7
    assert not torch.allclose(run(changed), run(plain))


@pytest.mark.parametrize("sampler", CLASSES)
@pytest.mark.parametrize("steps", [1, 2, 100])
def test_every_number_of_steps_ends_in_finite_latents(sampler: str, steps: int) -> None:
    schedule = PanelSchedule(stage(sampler, steps), VELOCITY, 0)
    assert schedule.steps == steps
    assert torch.isfinite(run(schedule)).all()
    assert schedule.index == steps


@pytest.mark.parametrize("sampler", ["DDPM", "DDIM", "EulerAncestral"])
def test_sigmas_that_a_sampler_does_not_offer_are_refused(sampler: str) -> None:
    # The storyboard refuses them as well, at its own boundary.
    refused = SamplingStage.model_construct(steps=5, sampler=sampler, sigmas="karras", guidance=1.0)
    with pytest.raises(ValueError, match=f"sigmas: got 'karras', allowed: default with.*{sampler}"):
        check_stage(refused, EPSILON)


def test_beta_sigmas_without_scipy_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lafi.sampling.schedule.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="sigmas: got 'beta', allowed: default, karras"):
        check_stage(stage("Euler", sigmas="beta"), EPSILON)


def test_a_model_that_predicts_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="prediction_type of the model: got 'sample', allowed"):
        check_stage(stage("DDIM"), EPSILON | {"prediction_type": "sample"})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.sampled_from(sorted(CONFIGS)))
def test_the_forward_process_is_that_of_training(timestep: int, config: str) -> None:
    latents, noise = torch.ones(SHAPE), torch.full(SHAPE, -2.0)
    scheduler = diffusers.DDIMScheduler.from_config(CONFIGS[config])
    expected = scheduler.add_noise(latents[None], noise[None], torch.tensor([timestep]))[0]
    ours = ForwardProcess(CONFIGS[config]).noised(latents, noise, float(timestep))
    torch.testing.assert_close(ours, expected)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 998.0), st.sampled_from(sorted(CONFIGS)), st.integers(0, 99))
def test_a_flow_is_made_of_the_picture_and_noise_that_a_prediction_implies(
    timestep: float, config: str, seed: int
) -> None:
    picture, noise = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(seed)).double()
    process = ForwardProcess(CONFIGS[config])
    signal, level = (process.noised(a, b, timestep) for a, b in ((ONE, 0 * ONE), (0 * ONE, ONE)))
    latents = process.noised(picture, noise, timestep)
    prediction = noise if config == "epsilon" else signal * noise - level * picture
    point, flow = process.as_flow(latents, prediction, timestep)
    share = level / (signal + level)
    torch.testing.assert_close(flow, noise - picture)
    torch.testing.assert_close(point, (1 - share) * picture + share * noise)
    torch.testing.assert_close(point, process.flow_point(latents, timestep))
    torch.testing.assert_close(process.from_flow(point, flow, timestep), prediction)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 999.0), st.floats(0.0, 999.0), st.sampled_from(sorted(CONFIGS)))
def test_later_timesteps_hold_less_of_the_picture(a: float, b: float, config: str) -> None:
    process = ForwardProcess(CONFIGS[config])
    one, nothing = torch.ones(1), torch.zeros(1)
    early, late = (process.noised(one, nothing, t) for t in sorted((a, b)))
    assert late <= early
