"""The latents of the rendered pictures, encoded once and kept on disk."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from lafi_tiny.dataset import CHUNK, chunk_path
from lafi_tiny.training import from_pixels


def encoder_fingerprint(vae: AutoencoderKL) -> str:
    """Eight hexadecimal digits that change with the encoder's weights, not with the decoder's."""
    digest = hashlib.sha256()
    for part in (vae.encoder, vae.quant_conv):
        for weights in part.state_dict().values():
            digest.update(weights.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


class LatentCache:
    """Scaled latent means, float16 (N, C, h, w), that grow by a chunk at a time.

    Training starts on the first chunks and never waits for the whole set.
    """

    def __init__(
        self, folder: Path, vae: AutoencoderKL, start_chunks: int, worker: int = 0, workers: int = 1
    ) -> None:
        """Of several workers on one folder, each encodes its share and reads the others'."""
        self.folder, self.worker, self.workers = folder, worker, workers
        self.vae = vae
        self.stored = folder / f"latents_{encoder_fingerprint(vae)}"
        self.chunks: list[NDArray[np.float16]] = []
        while (len(self.chunks) < start_chunks or self._stored_chunk().exists()) and self.grow():
            pass

    def __len__(self) -> int:
        return CHUNK * len(self.chunks)

    def grow(self) -> bool:
        """Add the next chunk; False when there is none, or another worker has yet to encode it."""
        start, stored = len(self), self._stored_chunk()
        if not stored.exists():
            if not chunk_path(self.folder / "pictures", start).exists():
                return False
            if len(self.chunks) % self.workers != self.worker:
                return False
            stored.parent.mkdir(exist_ok=True)
            partial = stored.with_suffix(".partial.npy")
            np.save(partial, self._encode(start))
            partial.rename(stored)
        self.chunks.append(np.load(stored))
        return True

    def _stored_chunk(self) -> Path:
        """File of the chunk that comes next."""
        return self.stored / f"latents_{len(self):07d}.npy"

    @torch.inference_mode()
    def _encode(self, start: int) -> NDArray[np.float16]:
        pixels = np.load(chunk_path(self.folder / "pictures", start))
        place = next(self.vae.parameters()).device
        means = []
        for i in range(0, len(pixels), 50):
            images = from_pixels(pixels[i : i + 50]).to(place)
            with torch.autocast(place.type, torch.bfloat16):
                means.append(self.vae.encode(images).latent_dist.mean.float().cpu())
        scaled = torch.cat(means) * self.vae.config.scaling_factor
        latents: NDArray[np.float16] = scaled.numpy().astype(np.float16)
        return latents

    def batch(self, indices: NDArray[np.int64]) -> torch.Tensor:
        """Latents of these pictures, float32 (B, C, h, w)."""
        rows = np.stack([self.chunks[i // CHUNK][i % CHUNK] for i in indices])
        return torch.from_numpy(rows.astype(np.float32))
