"""Draw pictures with the networks in training, without server or pipeline: for grids and scores."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_tiny.stages.blueprint import build_noise_schedule
from lafi_tiny.stages.text_to_latent import TextToLatent
from lafi_tiny.stages.tokenizer import token_ids

ROWS = 16
"""Pictures drawn at once."""


@torch.inference_mode()
def draw_pictures(
    model: TextToLatent,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    captions: list[str],
    *,
    seed: int = 0,
    steps: int = 25,
    guidance: float = 4.0,
) -> Tensor:
    """One picture per caption by DDIM with classifier-free guidance: (N, 3, H, W) in [-1, 1].

    Picture i has noise of its own, whatever else is drawn.
    """
    parts = [
        _draw(model, vae, tokenizer, captions[i : i + ROWS], seed + i, steps, guidance)
        for i in range(0, len(captions), ROWS)
    ]
    return torch.cat(parts)


def _draw(
    model: TextToLatent,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    captions: list[str],
    seed: int,
    steps: int,
    guidance: float,
) -> Tensor:
    place = next(model.parameters()).device
    schedule = build_noise_schedule()
    schedule.set_timesteps(steps)
    tokens = token_ids(tokenizer, captions + [""] * len(captions)).to(place)
    with torch.autocast(place.type, torch.bfloat16):
        text = model.text_encoder(tokens)[0]
    side, channels = model.unet.config.sample_size, model.unet.config.in_channels
    noise = [
        torch.randn((channels, side, side), generator=torch.Generator().manual_seed(seed + i))
        for i in range(len(captions))
    ]
    latents = torch.stack(noise).to(place)
    for timestep in schedule.timesteps:
        with torch.autocast(place.type, torch.bfloat16):
            output = model.unet(torch.cat([latents] * 2), timestep, text).sample.float()
        conditional, unconditional = output.chunk(2)
        guided = unconditional + guidance * (conditional - unconditional)
        latents = schedule.step(guided, timestep, latents).prev_sample
    with torch.autocast(place.type, torch.bfloat16):
        images: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
    return images.float().clamp(-1, 1)
