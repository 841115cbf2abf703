"""The noise of a reference when a panel reads it.

`Renoised` is LAFI as published: the picture with one fixed noise. Some steps ahead of the panel, it
is cleaner than the panel. `inverted` follows the model's own path from the picture to noise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import diffusers
import torch
from torch import Tensor

from lafi.model.info import ModelInfo
from lafi.sampling.noise_model import NoiseModel

Predict = Callable[[Tensor, float], Tensor]
"""Latents (C, h, w), timestep -> the model's prediction (C, h, w) for the reference's caption."""


@dataclass(frozen=True, slots=True)
class ReferencePath:
    """Latents (C, h, w) and timestep of the reference at every step of the panels."""

    latents: tuple[Tensor, ...]
    timesteps: tuple[float, ...]


def renoised(
    latents: Tensor,
    noise: Tensor,
    timesteps: Sequence[float],
    process: NoiseModel,
    *,
    lead: int = 0,
) -> ReferencePath:
    """The picture with one fixed noise, `lead` steps ahead of the panel, at most at the last step.

    Raises ValueError for a negative lead.
    """
    if lead < 0:
        raise ValueError(f"lead: got {lead}, allowed 0 or more steps")
    ahead = [timesteps[min(i + lead, len(timesteps) - 1)] for i in range(len(timesteps))]
    return ReferencePath(tuple(process.noised(latents, noise, t) for t in ahead), tuple(ahead))


@torch.no_grad()
def inverted(
    latents: Tensor, timesteps: Sequence[float], info: ModelInfo, predict: Predict
) -> ReferencePath:
    """DDIM inversion (arXiv:2010.02502, section 4.3) of a picture along the panels' timesteps.

    From the least noisy timestep to the noisiest, without guidance: each step uses the prediction
    at the previous latent. The first prediction is made on the clean picture.
    """
    config = dict(info.scheduler_config)
    alphas = diffusers.DDPMScheduler.from_config(config).alphas_cumprod.double()
    found: list[Tensor] = []
    current, alpha = latents, 1.0
    rising = sorted(timesteps)
    for timestep, asked in zip(rising, [rising[0], *rising[:-1]], strict=True):
        clean, noise = _split(predict(current, asked), current, alpha, info.prediction_type)
        alpha = float(alphas[round(timestep)])
        current = (alpha**0.5 * clean + (1.0 - alpha) ** 0.5 * noise).float()
        found.append(current)
    return ReferencePath(tuple(found[::-1]), tuple(rising[::-1]))


def _split(prediction: Tensor, latents: Tensor, alpha: float, kind: str) -> tuple[Tensor, Tensor]:
    """The clean picture and the noise that a prediction at signal `alpha` implies."""
    signal, spread = alpha**0.5, (1.0 - alpha) ** 0.5
    if kind == "v_prediction":
        return signal * latents - spread * prediction, signal * prediction + spread * latents
    return (latents - spread * prediction) / signal, prediction
