"""A diffusers VAE as two engines. Knows pictures and latents only."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lafi.engine.torch.device import bring, current, give_back


def latent_shift(vae: AutoencoderKL) -> float:
    """What is taken off a VAE's mean before it is scaled; 0 for VAEs of SD and SDXL."""
    return float(vae.config.get("shift_factor") or 0.0)


class TorchVaeEncoder:
    """`VaeEncoder`: the mean of the latent distribution, less the shift, times the scale."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self._vae = vae

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        vae = self._vae
        with current(vae.device):
            posterior = vae.encode(bring(images, vae.device, vae.dtype)).latent_dist
            mean = posterior.mean.float() - latent_shift(vae)
            return give_back(mean * vae.config.scaling_factor, images)


class TorchVaeDecoder:
    """`VaeDecoder`."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self._vae = vae

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        vae = self._vae
        with current(vae.device):
            unscaled = bring(latents, vae.device) / vae.config.scaling_factor + latent_shift(vae)
            return give_back(vae.decode(unscaled.to(vae.dtype)).sample, latents)
