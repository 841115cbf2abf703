"""A diffusers VAE as two engines. Knows pictures and latents only."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lafi.engine.torch.device import bring, current, give_back


class TorchVaeEncoder:
    """`VaeEncoder`: the mean of the latent distribution, times the scaling factor."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self._vae = vae

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        vae = self._vae
        with current(vae.device):
            posterior = vae.encode(bring(images, vae.device, vae.dtype)).latent_dist
            return give_back(posterior.mean.float() * vae.config.scaling_factor, images)


class TorchVaeDecoder:
    """`VaeDecoder`."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self._vae = vae

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        vae = self._vae
        with current(vae.device):
            unscaled = (bring(latents, vae.device) / vae.config.scaling_factor).to(vae.dtype)
            return give_back(vae.decode(unscaled).sample, latents)
