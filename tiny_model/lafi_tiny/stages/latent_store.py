"""Latents of drawn pictures, encoded once, kept on disk and read as they are needed."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from lafi_tiny.hand.picture import render
from lafi_tiny.stages.samples import picture_of
from lafi_tiny.training import from_pixels

CHUNK = 500
"""Pictures in a file."""


def encoder_fingerprint(vae: AutoencoderKL) -> str:
    """Eight hexadecimal digits that change with the encoder's weights, not with the decoder's."""
    digest = hashlib.sha256()
    for part in (vae.encoder, vae.quant_conv):
        for weights in part.state_dict().values():
            digest.update(weights.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


class LatentStore:
    """Scaled latent means, float16 (N, C, h, w), that grow by a chunk at a time to `most`.

    Picture i of a seed is `picture_of(seed, i)`. Training starts on the first chunks; of several
    workers on one folder, each encodes its share and reads the others'.
    """

    def __init__(
        self,
        folder: Path,
        vae: AutoencoderKL,
        *,
        seed: int,
        side: int,
        most: int,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        self.vae, self.seed, self.side, self.most = vae, seed, side, most
        self.worker, self.workers = worker, workers
        self.stored = folder / f"latents_{encoder_fingerprint(vae)}_{side}"
        self.stored.mkdir(parents=True, exist_ok=True)
        self.chunks: list[NDArray[np.float16]] = []
        while len(self) < most and self._next().exists():
            self.chunks.append(np.load(self._next(), mmap_mode="r"))

    def __len__(self) -> int:
        return CHUNK * len(self.chunks)

    def _next(self) -> Path:
        return self.stored / f"latents_{len(self):07d}.npy"

    def grow(self) -> bool:
        """Add the next chunk; False when full, or when another worker has yet to encode it."""
        if len(self) >= self.most:
            return False
        path = self._next()
        if not path.exists():
            if len(self.chunks) % self.workers != self.worker:
                return False
            partial = path.with_suffix(".partial.npy")
            np.save(partial, self._encode(len(self)))
            partial.rename(path)
        self.chunks.append(np.load(path, mmap_mode="r"))
        return True

    @torch.inference_mode()
    def _encode(self, start: int) -> NDArray[np.float16]:
        place = next(self.vae.parameters()).device
        means = []
        for i in range(start, start + CHUNK, 20):
            pictures = [picture_of(self.seed, i + k) for k in range(20)]
            pixels = np.stack([np.asarray(render(p, self.side)) for p in pictures])
            with torch.autocast(place.type, torch.bfloat16):
                latents = self.vae.encode(from_pixels(pixels).to(place)).latent_dist.mean
            means.append(latents.float().cpu())
        scaled = torch.cat(means) * self.vae.config.scaling_factor
        encoded: NDArray[np.float16] = scaled.numpy().astype(np.float16)
        return encoded

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """Latents of these pictures, float32 (B, C, h, w)."""
        rows = np.stack([self.chunks[i // CHUNK][i % CHUNK] for i in indices])
        return torch.from_numpy(rows.astype(np.float32))
