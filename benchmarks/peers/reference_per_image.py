"""A reference run again for every image, as diffusers' community reference pipeline does.

At every step the reference, noised to that step, passes through the UNet once for each row of the
images' batch, guidance included, and every self-attention layer stores its input. Then the images
pass, and every self-attention layer attends to its own tokens and to the stored ones.
Left out: that pipeline's normalisation of features and its mixing of guidance branches, which
cost next to nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from lafi.drawing import images

Kept = dict[str, Tensor]
"""Layer -> its input for the reference's rows, (B, S, C)."""


class KeepProcessor(AttnProcessor2_0):
    """Self-attention of one layer; stores its input in `keep` and attends to `read`."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        keep: Kept | None = None,
        read: Kept | None = None,
    ) -> Tensor:
        """hidden_states (B, S, C) -> (B, S, C)."""
        if encoder_hidden_states is None:
            if keep is not None:
                keep[self._layer] = hidden_states
            if read is not None:
                encoder_hidden_states = torch.cat([hidden_states, read[self._layer]], dim=1)
        out: Tensor = super().__call__(
            attn, hidden_states, encoder_hidden_states, attention_mask, temb
        )
        return out


class ReferencePerImage:
    """Draws images that share a reference; DDIM, on the CPU."""

    def __init__(self, checkpoint: Path, dtype: torch.dtype = torch.float32) -> None:
        pipeline = StableDiffusionPipeline.from_pretrained(checkpoint, torch_dtype=dtype)
        self._pipeline = pipeline
        self._scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        unet = pipeline.unet
        unet.set_attn_processor({name: KeepProcessor(name) for name in unet.attn_processors})

    @torch.no_grad()
    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        reference: bytes,
        side: int,
        steps: int,
        guidance: float,
    ) -> list[bytes]:
        """A PNG file for each prompt, side x side pixels."""
        pipeline, scheduler = self._pipeline, self._scheduler
        dtype, scale = pipeline.unet.dtype, pipeline.vae.config.scaling_factor
        pixels = images.to_tensor(images.letterbox(reference, side, side).pixels)[None]
        clean = pipeline.vae.encode(pixels.to(dtype)).latent_dist.mean * scale
        text = torch.cat(
            pipeline.encode_prompt(list(prompts), "cpu", 1, True, [""] * len(prompts))[::-1]
        )
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        latents = torch.cat([torch.randn(clean.shape, generator=each) for each in generators])
        latents = latents.to(dtype)
        scheduler.set_timesteps(steps)
        for timestep in scheduler.timesteps:
            noise = torch.randn(clean.shape, generator=generators[0]).to(dtype)
            noised = scheduler.add_noise(clean, noise, timestep[None])
            kept: Kept = {}
            self._predict(noised.expand(len(text), -1, -1, -1), timestep, text, keep=kept)
            predicted = self._predict(torch.cat([latents] * 2), timestep, text, read=kept)
            without, within = predicted.chunk(2)
            guided = without + guidance * (within - without)
            latents = scheduler.step(guided, timestep, latents).prev_sample
        drawn = pipeline.vae.decode(latents / scale).sample.float()
        return [images.encode_png(images.to_pixels(image), {}) for image in drawn]

    def _predict(self, rows: Tensor, timestep: Tensor, text: Tensor, **shared: Kept) -> Tensor:
        predicted: Tensor = self._pipeline.unet(
            rows, timestep, text, cross_attention_kwargs=shared
        ).sample
        return predicted
