"""Paths of the denoiser: what diffusers' DDIM draws, kept so that a resumed run has the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from transformers import CLIPTokenizer

from lafi_tiny.stages.blueprint import Blueprint, build_noise_schedule
from lafi_tiny.stages.teacher_paths import (
    LEVELS,
    TeacherPaths,
    lcm_timesteps,
    teacher_path,
)
from lafi_tiny.stages.text_to_latent import TextToLatent, load_denoiser
from lafi_tiny.stages.tokenizer import token_ids


@pytest.fixture
def model(plan: Blueprint, with_denoiser: Path, tokenizer: CLIPTokenizer) -> TextToLatent:
    return load_denoiser(plan, with_denoiser, tokenizer)


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_its_levels_are_among_those_that_few_steps_draw_at(steps: int) -> None:
    assert {*lcm_timesteps(steps)} < {*lcm_timesteps(LEVELS)}
    assert len(lcm_timesteps(LEVELS)) == LEVELS


@pytest.mark.usefixtures("in_float32")
def test_a_path_is_what_diffusers_ddim_draws(model: TextToLatent, tokenizer: CLIPTokenizer) -> None:
    """Stepped by hand from level to level, which its own spacing does not have."""
    noise = torch.randn(1, *model.latent_shape)
    ids, empty = token_ids(tokenizer, ["a child runs"]), token_ids(tokenizer, [""])
    path = teacher_path(model, noise, ids, empty, 3.0)
    schedule: DDIMScheduler = build_noise_schedule()
    latents, timesteps = noise, lcm_timesteps(LEVELS)
    with torch.no_grad():
        text = model.text_encoder(torch.cat([ids, empty]))[0]
        for point, timestep, lower in zip(path, timesteps, [*timesteps[1:], -1], strict=False):
            torch.testing.assert_close(point, latents, atol=1e-4, rtol=1e-4)
            both = model.unet(torch.cat([latents, latents]), timestep, text).sample
            said, unsaid = both.chunk(2)
            # Its step is as wide as its timesteps in training over those of a drawing.
            schedule.num_inference_steps = 1
            schedule.register_to_config(num_train_timesteps=timestep - lower)
            step = schedule.step(unsaid + 3.0 * (said - unsaid), timestep, latents)
            latents = step.pred_original_sample if lower < 0 else step.prev_sample
    assert len(path) == LEVELS + 1
    torch.testing.assert_close(path[-1], latents, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("in_float32")
def test_what_is_kept_is_what_was_computed_and_is_drawn_from(
    model: TextToLatent, tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    paths = TeacherPaths(tmp_path, chunk=3, seed=1)
    assert len(paths) == 0
    for _ in range(2):
        paths.grow(model, tokenizer, 3.0)
    again = TeacherPaths(tmp_path, chunk=3, seed=1)
    assert len(paths) == len(again) == 6
    levels = np.array([0, LEVELS - 1, 4, 4, 9])
    points = paths.draw(np.random.default_rng(0), levels)
    same = again.draw(np.random.default_rng(0), levels)
    assert all(torch.equal(a, b) for a, b in zip(points, same, strict=True))
    assert points.timesteps.tolist() == [lcm_timesteps(LEVELS)[level] for level in levels]
    # The path of a point ends where the denoiser takes it.
    noise, text = points.latents[:1], points.token_ids[:1]
    path = teacher_path(model, noise, text, token_ids(tokenizer, [""]), 3.0)
    torch.testing.assert_close(points.ends[:1], path[-1], atol=2e-2, rtol=2e-2)


def test_a_resumed_run_grows_the_paths_that_it_would_have_had(
    model: TextToLatent, tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    whole = TeacherPaths(tmp_path / "one", chunk=2, seed=1)
    for _ in range(2):
        whole.grow(model, tokenizer, 3.0)
    for _ in range(2):  # each in a run of its own
        TeacherPaths(tmp_path / "two", chunk=2, seed=1).grow(model, tokenizer, 3.0)
    halves = TeacherPaths(tmp_path / "two", chunk=2, seed=1)
    levels = np.arange(LEVELS)
    pairs = zip(
        whole.draw(np.random.default_rng(3), levels),
        halves.draw(np.random.default_rng(3), levels),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)
