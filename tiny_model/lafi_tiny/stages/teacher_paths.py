"""Paths from noise to a picture that the finished denoiser takes with guidance, kept on disk.

What a model of few steps has to learn is where each point of such a path ends.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from diffusers import DDIMScheduler, LCMScheduler
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_tiny.hand.caption import random_caption
from lafi_tiny.stages.blueprint import build_noise_schedule
from lafi_tiny.stages.samples import picture_of
from lafi_tiny.stages.text_to_latent import TextToLatent
from lafi_tiny.stages.tokenizer import token_ids
from lafi_tiny.training import mixed_precision

LEVELS: Final = 16
"""Noise levels of a path: those of `LCMScheduler` for so many steps, which those for 2, 4 and 8
steps are among."""
FOLDER: Final = "teacher_paths"


class Points(NamedTuple):
    """Points of paths: latents (B, C, h, w) at timesteps (B,), texts, and where the paths end."""

    latents: Tensor
    timesteps: Tensor
    token_ids: Tensor
    ends: Tensor


@cache
def lcm_timesteps(steps: int) -> tuple[int, ...]:
    """Timesteps at which `LCMScheduler` draws in so many steps, from noise to picture."""
    scheduler = LCMScheduler.from_config(build_noise_schedule().config)
    scheduler.set_timesteps(steps)
    return tuple(int(timestep) for timestep in scheduler.timesteps)


class TeacherPaths:
    """Chunks of paths, in files of their own; path i always has the same caption and noise."""

    def __init__(self, folder: Path, *, chunk: int, seed: int) -> None:
        self._folder, self._chunk, self._seed = folder / FOLDER, chunk, seed
        self._folder.mkdir(exist_ok=True)
        self._chunks = [self._read(path) for path in sorted(self._folder.glob("paths_*.npz"))]

    def __len__(self) -> int:
        return len(self._chunks) * self._chunk

    def grow(self, model: TextToLatent, tokenizer: CLIPTokenizer, guidance: float) -> None:
        """Compute the next chunk and keep it. model: without its LoRA."""
        number = len(self._chunks)
        rng = np.random.default_rng([self._seed, 6, number])
        first = number * self._chunk
        pictures = [picture_of(self._seed, first + place) for place in range(self._chunk)]
        ids = token_ids(tokenizer, [random_caption(rng, picture) for picture in pictures])
        noise = torch.Generator().manual_seed(self._seed * 100_003 + number)
        latents = torch.randn((self._chunk, *model.latent_shape), generator=noise)
        empty = token_ids(tokenizer, [""] * self._chunk)
        points = teacher_path(model, latents, ids, empty, guidance)
        path = self._folder / f"paths_{number:05d}.npz"
        halves = np.stack([point.cpu().numpy().astype(np.float16) for point in points])
        part = path.with_name(f"part_{number:05d}.npz")
        np.savez(part, points=halves, token_ids=ids.numpy())
        part.replace(path)
        self._chunks.append(self._read(path))

    def draw(self, rng: np.random.Generator, levels: NDArray[np.int64]) -> Points:
        """A point at each of these levels (B,), 0 is noise, of paths that are drawn by chance."""
        timesteps = np.array(lcm_timesteps(LEVELS))
        paths = rng.integers(len(self), size=len(levels))
        places = [(self._chunks[i // self._chunk], i % self._chunk) for i in paths]
        pairs = list(zip(places, levels, strict=True))
        return Points(
            latents=_stacked([chunk["points"][level, row] for (chunk, row), level in pairs]),
            timesteps=torch.from_numpy(timesteps[levels]),
            token_ids=torch.from_numpy(np.stack([c["token_ids"][row] for c, row in places])),
            ends=_stacked([chunk["points"][-1, row] for chunk, row in places]),
        )

    @staticmethod
    def _read(path: Path) -> dict[str, NDArray[np.generic]]:
        with np.load(path) as file:
            return {name: file[name] for name in ("points", "token_ids")}


@torch.no_grad()
def teacher_path(
    model: TextToLatent, noise: Tensor, ids: Tensor, empty: Tensor, guidance: float
) -> list[Tensor]:
    """LEVELS points from the noise on, each (B, C, h, w), and the clean end of the path.

    By DDIM without fresh noise (arXiv:2010.02502). ids, empty: token ids (B, T).
    """
    place = next(model.parameters()).device
    schedule, timesteps = build_noise_schedule(), lcm_timesteps(LEVELS)
    latents = noise.to(place)
    with mixed_precision(place):
        text = model.text_encoder(torch.cat([ids, empty]).to(place))[0]
    points = []
    for timestep, lower in zip(timesteps, [*timesteps[1:], -1], strict=True):
        points.append(latents)
        latents = _lower(model, schedule, latents, timestep, lower, text, guidance)
    return [*points, latents]


def _lower(
    model: TextToLatent,
    schedule: DDIMScheduler,
    latents: Tensor,
    timestep: int,
    lower: int,
    text: Tensor,
    guidance: float,
) -> Tensor:
    """The point at the next level of the path; -1 is its end."""
    both = torch.cat([latents, latents])
    with mixed_precision(latents.device):
        velocity = model.unet(both, timestep, text).sample.float()
    said, unsaid = velocity.chunk(2)
    velocity = unsaid + guidance * (said - unsaid)
    alpha, sigma = levels_of(schedule, [timestep])
    clean: Tensor = alpha * latents - sigma * velocity
    noise = alpha * velocity + sigma * latents
    if lower < 0:
        return clean
    alpha, sigma = levels_of(schedule, [lower])
    point: Tensor = alpha * clean + sigma * noise
    return point


def levels_of(schedule: DDIMScheduler, timesteps: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise (B, 1, 1, 1) at these timesteps."""
    kept = schedule.alphas_cumprod[torch.as_tensor(timesteps).cpu()][:, None, None, None]
    return kept.sqrt(), (1 - kept).sqrt()


def _stacked(arrays: list[NDArray[np.generic]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
