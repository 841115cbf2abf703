"""Make renders look like drawn pictures: through the autoencoder, blurred, noisy, resized."""

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from lafi_tiny.training import mixed_precision


@torch.no_grad()
def degraded(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A batch (B, 3, H, W) in [-1, 1] made a little worse, each batch in its own way."""
    roll = rng.random()
    side = images.shape[-1]
    if roll < 0.25:
        small = round(side * rng.uniform(0.55, 0.9))
        images = _resized(_resized(images, small), side)
    elif roll < 0.4:
        images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = images * rng.uniform(0.94, 1.06) + rng.uniform(-0.05, 0.05)
    noise = torch.randn(images.shape, dtype=images.dtype)
    return (images + rng.uniform(0.0, 0.08) * noise).clamp(-1, 1)


@torch.no_grad()
def through_noisy_latents(images: Tensor, rng: np.random.Generator, vae: AutoencoderKL) -> Tensor:
    """A batch through the autoencoder with a little noise on its latents, as if drawn."""
    with mixed_precision(images.device):
        latents = vae.encode(images).latent_dist.mean.float()
        spread = rng.uniform(0.0, 0.15) * latents.std()
        decoded: Tensor = vae.decode(latents + spread * torch.randn_like(latents)).sample
    return decoded.float().clamp(-1, 1)


def _resized(images: Tensor, side: int) -> Tensor:
    size = (side, side)
    return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
