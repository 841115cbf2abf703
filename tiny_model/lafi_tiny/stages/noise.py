"""What noise a model learns to take away: how it is mixed in, what is predicted, how it is drawn.

Knows latents and diffusers' schedulers, neither networks nor captions.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from numpy.typing import NDArray
from torch import Tensor

from lafi_tiny.stages.blueprint import build_noise_schedule

LAST_TIMESTEP = 1000
"""Timesteps lie in [0, 1000), or up to 1000 where they are not whole numbers."""


class NoiseModel(Protocol):
    """Latents and noise are (B, C, h, w) float32, timesteps (B,)."""

    def random_timesteps(self, rng: np.random.Generator, size: int) -> NDArray[Any]:
        """Training timesteps (size,); a larger one has more noise, and 0 next to none."""

    def noisy(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents with as much noise as their timesteps say."""

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network is to predict."""

    def signal(self, timesteps: Tensor) -> Tensor:
        """The factor (B,) of the picture in its noisy latent."""

    def sampler(self, steps: int) -> Any:
        """A scheduler of diffusers at the beginning of a drawing of so many steps."""


class DiffusionNoise:
    """`NoiseModel` of the UNet: v-prediction on a schedule of 1000 steps."""

    def __init__(self) -> None:
        self.schedule = build_noise_schedule()

    def random_timesteps(self, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
        """As `NoiseModel`, whole numbers, the middle and upper ones more often.

        Poses and colours are decided there, as the loss with a wrong caption shows, and details
        below. Two fifths are uniform, so that no level is left out; compare arXiv:2403.03206.
        """
        level = np.where(rng.random(size) < 0.4, rng.random(size), rng.beta(3.0, 2.0, size))
        return np.minimum(level * LAST_TIMESTEP, LAST_TIMESTEP - 1).astype(np.int64)

    def noisy(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """As `NoiseModel`."""
        mixed: Tensor = self.schedule.add_noise(latents, noise, timesteps)
        return mixed

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """As `NoiseModel`: v (arXiv:2202.00512)."""
        velocity: Tensor = self.schedule.get_velocity(latents, noise, timesteps)
        return velocity

    def signal(self, timesteps: Tensor) -> Tensor:
        """As `NoiseModel`."""
        kept: Tensor = self.schedule.alphas_cumprod.to(timesteps.device)
        return kept[timesteps].sqrt()

    def sampler(self, steps: int) -> Any:
        """As `NoiseModel`: DDIM."""
        schedule = build_noise_schedule()
        schedule.set_timesteps(steps)
        return schedule


@dataclass(frozen=True, slots=True)
class FlowNoise:
    """`NoiseModel` of a flow: the straight line from the picture to noise (arXiv:2209.03003).

    At timestep t the latent is (1 - s) picture + s noise with s = t / 1000.
    shift: moves levels towards noise, s -> shift s / (1 + (shift - 1) s), in training and drawing.
    """

    shift: float

    def random_timesteps(self, rng: np.random.Generator, size: int) -> NDArray[np.float32]:
        """As `NoiseModel`: logit-normal levels (arXiv:2403.03206), then shifted.

        Z-Image's report names the same two (arXiv:2511.22699).
        """
        level = 1.0 / (1.0 + np.exp(-rng.standard_normal(size)))
        shifted = self.shift * level / (1.0 + (self.shift - 1.0) * level)
        return (shifted * LAST_TIMESTEP).astype(np.float32)

    def noisy(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """As `NoiseModel`."""
        return torch.lerp(latents, noise, _level(timesteps))

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """As `NoiseModel`: the velocity from picture to noise, the same at all timesteps."""
        return noise - latents

    def signal(self, timesteps: Tensor) -> Tensor:
        """As `NoiseModel`."""
        return 1.0 - timesteps / LAST_TIMESTEP

    def scheduler(self) -> FlowMatchEulerDiscreteScheduler:
        """What a packed model says of its noise."""
        return FlowMatchEulerDiscreteScheduler(
            num_train_timesteps=LAST_TIMESTEP, shift=self.shift, use_dynamic_shifting=False
        )

    def sampler(self, steps: int) -> Any:
        """As `NoiseModel`: Euler, with the levels that ZImagePipeline hands to it."""
        scheduler = self.scheduler()
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / steps, steps).tolist())
        return scheduler


def _level(timesteps: Tensor) -> Tensor:
    """Share of noise (B, 1, 1, 1)."""
    return (timesteps / LAST_TIMESTEP)[:, None, None, None]
