"""Draw pictures with the networks in training, without server or pipeline: for grids and scores."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_tiny.architecture import build_noise_schedule
from lafi_tiny.text_to_latent import TextToLatent
from lafi_tiny.tokenizer import token_ids


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
    """One picture per caption by DDIM with classifier-free guidance: (N, 3, H, W) in [-1, 1]."""
    place = next(model.parameters()).device
    schedule = build_noise_schedule()
    schedule.set_timesteps(steps)
    text = _encode(model, tokenizer, captions + [""] * len(captions)).to(place)
    side = model.unet.config.sample_size
    generator = torch.Generator().manual_seed(seed)
    channels = model.unet.config.in_channels
    latents = torch.randn((len(captions), channels, side, side), generator=generator).to(place)
    for timestep in schedule.timesteps:
        with torch.autocast(place.type, torch.bfloat16):
            output = model.unet(torch.cat([latents] * 2), timestep, text).sample.float()
        conditional, unconditional = output.chunk(2)
        guided = unconditional + guidance * (conditional - unconditional)
        latents = schedule.step(guided, timestep, latents).prev_sample
    with torch.autocast(place.type, torch.bfloat16):
        images: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
    return images.float()


def _encode(model: TextToLatent, tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    tokens = token_ids(tokenizer, captions)
    text: Tensor = model.text_encoder(tokens.to(next(model.parameters()).device))[0]
    return text
