"""Latents of drawn pictures, encoded once, kept on disk and read as they are needed."""

import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from lafi_tiny.hand.picture import render
from lafi_tiny.stages.samples import picture_of
from lafi_tiny.training import from_pixels, mixed_precision

CHUNK = 500
"""Pictures in a file."""
WAIT_SECONDS = 0.5


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
        self._read()

    def __len__(self) -> int:
        return CHUNK * len(self.chunks)

    def _path(self, chunk: int) -> Path:
        return self.stored / f"latents_{CHUNK * chunk:07d}.npy"

    def _read(self) -> None:
        """Take in all chunks that are there without a gap."""
        while len(self) < self.most and self._path(len(self.chunks)).exists():
            self.chunks.append(np.load(self._path(len(self.chunks)), mmap_mode="r"))

    def grow(self) -> bool:
        """Encode this worker's next chunk and take in what is there; False when full.

        Called by all workers at once, they encode beside each other.
        """
        if len(self) >= self.most:
            return False
        ahead = range(len(self.chunks), len(self.chunks) + 2 * self.workers)
        own = [c for c in ahead if c % self.workers == self.worker and not self._path(c).exists()]
        if not own:
            time.sleep(WAIT_SECONDS)  # far enough ahead of the others
        elif CHUNK * own[0] < self.most:
            partial = self._path(own[0]).with_suffix(".partial.npy")
            np.save(partial, self._encode(CHUNK * own[0]))
            partial.rename(self._path(own[0]))
        self._read()
        return True

    @torch.inference_mode()
    def _encode(self, start: int) -> NDArray[np.float16]:
        place = next(self.vae.parameters()).device
        means = []
        for i in range(start, start + CHUNK, 20):
            pictures = [picture_of(self.seed, i + k) for k in range(20)]
            pixels = np.stack([np.asarray(render(p, self.side)) for p in pictures])
            with mixed_precision(place):
                latents = self.vae.encode(from_pixels(pixels).to(place)).latent_dist.mean
            means.append(latents.float().cpu())
        scaled = torch.cat(means) * self.vae.config.scaling_factor
        encoded: NDArray[np.float16] = scaled.numpy().astype(np.float16)
        return encoded

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """Latents of these pictures, float32 (B, C, h, w)."""
        rows = np.stack([self.chunks[i // CHUNK][i % CHUNK] for i in indices])
        return torch.from_numpy(rows.astype(np.float32))
