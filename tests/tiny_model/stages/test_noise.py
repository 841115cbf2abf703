"""Noise as diffusers has it: mixing, targets, and the levels at which a flow is drawn."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.stages.blueprint import build_noise_schedule
from lafi_tiny.stages.noise import DiffusionNoise, FlowNoise, NoiseModel

NOISES: tuple[NoiseModel, ...] = (DiffusionNoise(), FlowNoise(2.0))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(NOISES), st.integers(0, 2**32 - 1))
def test_timesteps_lie_in_range_and_a_sampler_is_at_home_there(
    noise: NoiseModel, seed: int
) -> None:
    drawn = noise.random_timesteps(np.random.default_rng(seed), 50)
    assert drawn.shape == (50,)
    assert 0 <= drawn.min() <= drawn.max() <= 1000


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 8.0), st.integers(0, 1000))
def test_a_flow_starts_at_the_picture_and_ends_in_noise(shift: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    latents, other = torch.randn(2, 2, 3, 4, 4, generator=generator)
    noise, ends = FlowNoise(shift), torch.tensor([0.0, 1000.0])
    mixed = noise.noisy(latents, other, ends)
    torch.testing.assert_close(mixed, torch.stack([latents[0], other[1]]))
    assert noise.signal(ends).tolist() == [1.0, 0.0]
    halfway = torch.full((2,), 400.0)
    velocity = noise.target(latents, other, halfway)
    # A step along the velocity ends at the picture, from wherever it starts.
    torch.testing.assert_close(noise.noisy(latents, other, halfway) - 0.4 * velocity, latents)


def test_a_flow_mixes_as_diffusers_does() -> None:
    noise = FlowNoise(3.0)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    latents, other = torch.randn(2, 4, 16, 4, 4)
    timesteps = scheduler.timesteps[[0, 100, 500, 999]]
    wanted = scheduler.scale_noise(latents, timesteps, other)
    torch.testing.assert_close(noise.noisy(latents, other, timesteps), wanted)


def test_a_sampler_given_the_true_velocity_draws_the_picture() -> None:
    noise = FlowNoise(2.0)
    latents, other = torch.randn(2, 1, 4, 8, 8)
    sampler, drawn = noise.sampler(7), other
    assert len(sampler.timesteps) == 7
    for timestep in sampler.timesteps:
        drawn = sampler.step(noise.target(latents, other, timestep), timestep, drawn).prev_sample
    torch.testing.assert_close(drawn, latents, atol=1e-5, rtol=1e-5)


def test_training_levels_of_a_flow_are_shifted_as_those_of_drawing() -> None:
    levels = FlowNoise(2.0).random_timesteps(np.random.default_rng(0), 20_001) / 1000
    # A logit-normal level has its median at one half, which the shift brings to two thirds.
    assert np.median(levels) == pytest.approx(2 / 3, abs=0.01)
    odds = np.log(levels / (1 - levels))
    assert odds.std() == pytest.approx(1.0, abs=0.03)


def test_diffusion_is_the_bundled_schedules() -> None:
    noise, schedule = DiffusionNoise(), build_noise_schedule()
    latents, other = torch.randn(2, 3, 4, 8, 8)
    timesteps = torch.tensor([0, 500, 999])
    wanted = schedule.add_noise(latents, other, timesteps)
    assert torch.equal(noise.noisy(latents, other, timesteps), wanted)
    assert torch.equal(
        noise.target(latents, other, timesteps), schedule.get_velocity(latents, other, timesteps)
    )
    assert torch.equal(noise.signal(timesteps), schedule.alphas_cumprod[timesteps].sqrt())
    assert len(noise.sampler(5).timesteps) == 5
