"""Denoising with references, written out with diffusers' classes and nothing of ours."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image
from torch import Tensor

SIDE, STEPS, GUIDANCE = 32, 10, 4.0
NEGATIVE = "a night"


def picture(seed: int, width: int, height: int) -> bytes:
    """A PNG file of random coarse blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@dataclass
class Kept:
    """Keys, values and token weights of one reference in one layer."""

    k: Tensor
    v: Tensor
    weights: Tensor


class ConcatenatingProcessor:
    """Self-attention that keeps a reference's keys and values, or appends the kept ones.

    Two modes and a store on the module: how it is commonly done, and easy to check by eye.
    """

    def __init__(self) -> None:
        self.store: dict[str, Kept] = {}
        self.write: tuple[str, Tensor] | None = None
        self.read: Sequence[str] = ()

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        q, k, v = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        rows, tokens, _ = q.shape
        offset = torch.zeros(tokens)
        if self.write is not None:
            name, mask = self.write
            factor = round((mask.numel() / tokens) ** 0.5)
            h, w = mask.shape
            pooled = mask.reshape(h // factor, factor, w // factor, factor).mean(dim=(1, 3))
            self.store[name] = Kept(k, v, pooled.flatten())
        for name in self.read:
            kept = self.store[name]
            k = torch.cat([k, kept.k.expand(rows, -1, -1)], dim=1)
            v = torch.cat([v, kept.v.expand(rows, -1, -1)], dim=1)
            offset = torch.cat([offset, kept.weights.log()])
        q, k, v = (x.unflatten(2, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=offset.expand(tokens, -1))
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


@dataclass
class PlainReference:
    """What the plain loop needs to know of a character."""

    latents: Tensor
    noise: Tensor
    mask: Tensor
    text: Tensor


class PlainLoop:
    """Denoising with references, written out with diffusers' classes and nothing of ours."""

    def __init__(self, pipe: StableDiffusionPipeline) -> None:
        self.pipe = pipe
        self.processors: list[ConcatenatingProcessor] = []

    def install(self) -> None:
        """Every self-attention of the up blocks reads; the others stay diffusers' own."""
        processors = dict(self.pipe.unet.attn_processors)
        for name in processors:
            if name.startswith("up_blocks") and ".attn1." in name:
                processors[name] = ConcatenatingProcessor()
                self.processors.append(processors[name])
        self.pipe.unet.set_attn_processor(processors)

    def encode(self, text: str) -> Tensor:
        tokens = self.pipe.tokenizer(
            text, padding="max_length", max_length=48, truncation=True, return_tensors="pt"
        )
        return self.pipe.text_encoder(tokens.input_ids)[0]

    def reference(self, data: bytes, caption: str, pad: int) -> PlainReference:
        """pad: columns of padding at the left and at the right, in pixels."""
        image = np.asarray(Image.open(io.BytesIO(data)), dtype=np.float32)
        canvas = np.full((SIDE, SIDE, 3), 128, dtype=np.float32)
        canvas[:, pad : SIDE - pad] = image
        mask = torch.ones(SIDE // 4, SIDE // 4)
        if pad:
            mask[:, : pad // 4] = mask[:, -(pad // 4) :] = 0.0
        pixels = torch.from_numpy(canvas / 127.5 - 1.0).permute(2, 0, 1)[None]
        mean = self.pipe.vae.encode(pixels).latent_dist.mean
        seed = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
        return PlainReference(
            latents=mean * self.pipe.vae.config.scaling_factor,
            noise=torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed)),
            mask=mask,
            text=self.encode(caption),
        )

    @torch.no_grad()
    def draw(self, prompt: str, seed: int, references: dict[str, PlainReference]) -> np.ndarray:
        scheduler = DDIMScheduler.from_config(self.pipe.scheduler.config)
        scheduler.set_timesteps(STEPS)
        text = torch.cat([self.encode(NEGATIVE), self.encode(prompt)])
        shape = (1, 4, SIDE // 4, SIDE // 4)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        for step, t in enumerate(scheduler.timesteps):
            injecting = step < 8
            for name, reference in references.items() if injecting else ():
                noisy = scheduler.add_noise(reference.latents, reference.noise, t[None])
                self.set(write=(name, reference.mask))
                self.predict(noisy, t, reference.text)
            self.set(read=tuple(references) if injecting else ())
            both = self.predict(torch.cat([latents, latents]), t, text)
            guided = both[:1] + GUIDANCE * (both[1:] - both[:1])
            latents = scheduler.step(guided, t, latents).prev_sample
        decoded = self.pipe.vae.decode(latents / self.pipe.vae.config.scaling_factor).sample[0]
        unit = (decoded / 2 + 0.5).clamp(0, 1)
        return (unit.permute(1, 2, 0).numpy() * 255).round().astype(np.int16)

    def predict(self, latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """Of a reference, or of a panel's two rows, without prompt and with it."""
        predicted: Tensor = self.pipe.unet(latents, timestep, text).sample
        return predicted

    def set(self, write: tuple[str, Tensor] | None = None, read: Sequence[str] = ()) -> None:
        for processor in self.processors:
            processor.write, processor.read = write, read
