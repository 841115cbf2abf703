"""Draw pictures with the networks in training, without server or pipeline: for grids and scores."""

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lafi_tiny.stages.denoising_model import DenoisingModel
from lafi_tiny.training import mixed_precision

ROWS = 16
"""Pictures drawn at once."""


@torch.inference_mode()
def draw_pictures(
    model: DenoisingModel,
    vae: AutoencoderKL,
    tokenizer: Any,
    captions: list[str],
    *,
    seed: int = 0,
    steps: int = 25,
    guidance: float = 4.0,
) -> Tensor:
    """One picture per caption with classifier-free guidance: (N, 3, H, W) in [-1, 1].

    The sampler is that of the model's noise. Picture i starts from noise of its own, whatever else
    is drawn.
    """
    parts = [
        _draw(model, vae, tokenizer, captions[i : i + ROWS], seed + i, steps, guidance)
        for i in range(0, len(captions), ROWS)
    ]
    return torch.cat(parts)


def _draw(
    model: DenoisingModel,
    vae: AutoencoderKL,
    tokenizer: Any,
    captions: list[str],
    seed: int,
    steps: int,
    guidance: float,
) -> Tensor:
    place = next(model.parameters()).device
    sampler = model.noise.sampler(steps)
    tokens = model.token_ids(tokenizer, captions + [""] * len(captions)).to(place)
    with mixed_precision(place):
        text = model.read(tokens)
    noise = [
        torch.randn(model.latent_shape, generator=torch.Generator().manual_seed(seed + i))
        for i in range(len(captions))
    ]
    latents = torch.stack(noise).to(place)
    for timestep in sampler.timesteps:
        with mixed_precision(place):
            output = model.predict(torch.cat([latents] * 2), timestep, text)[0]
        conditional, unconditional = output.float().chunk(2)
        guided = unconditional + guidance * (conditional - unconditional)
        latents = sampler.step(guided, timestep, latents).prev_sample
    with mixed_precision(place):
        images: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
    return images.float().clamp(-1, 1)
