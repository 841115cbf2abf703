"""Pictures of single figures to train the recogniser on, and how a batch of them is varied."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lafi.board.letterbox import fit_pixels
from lafi_tiny.hand.picture import Picture, random_picture, render
from lafi_tiny.training import from_pixels, mixed_precision, to_pixels
from lafi_tiny.who.recogniser import SIDE, labels_of

CHUNK = 500
THROUGH_VAE = 3
"""Every third picture went through the VAE, with a little noise on its latent."""
LATENT_NOISE = 0.3
"""The most of it, in units of a scaled latent's standard deviation."""

Pixels = NDArray[np.uint8]
Uniform = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """Which pictures: index i of a seed is always the same figure in the same scene."""

    seed: int = 20
    held_out: bool = False

    def picture(self, index: int) -> Picture:
        """One figure in any view, framing and expression, with or without a prop."""
        rng = np.random.default_rng([self.seed, index])
        return random_picture(rng, "single", held_out=self.held_out)


class FigurePool:
    """Pictures uint8 (N, SIDE, SIDE, 3) and labels int64 (N, 9), kept in `folder` by chunks."""

    def __init__(self, folder: Path, count: int) -> None:
        """Raises FileNotFoundError if a chunk of the first `count` pictures is missing."""
        parts = [np.load(_chunk(folder, start)) for start in range(0, count, CHUNK)]
        self.pixels: Pixels = np.concatenate([part["pixels"] for part in parts])[:count]
        labels = np.concatenate([part["labels"] for part in parts])[:count]
        self.labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.pixels)


def fill_pool(
    folder: Path,
    count: int,
    vae: AutoencoderKL,
    spec: FigureSpec,
    worker: int = 0,
    workers: int = 1,
) -> None:
    """Render this worker's share of the chunks that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(worker * CHUNK, count, workers * CHUNK):
        path = _chunk(folder, start)
        if path.exists():
            continue
        pictures = [spec.picture(index) for index in range(start, start + CHUNK)]
        pixels = np.stack([np.asarray(render(picture)) for picture in pictures])
        pixels[::THROUGH_VAE] = degrade(vae, pixels[::THROUGH_VAE], seed=start)
        pixels = np.stack([fit_pixels(each, SIDE, SIDE) for each in pixels])
        labels = np.array([labels_of(picture) for picture in pictures])
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, pixels=pixels, labels=labels)
        partial.replace(path)


def _chunk(folder: Path, start: int) -> Path:
    return folder / f"figures_{start:07d}.npz"


@torch.no_grad()
def degrade(vae: AutoencoderKL, pixels: Pixels, seed: int, noise: float = LATENT_NOISE) -> Pixels:
    """Pictures (B, H, W, 3) encoded, up to `noise` added, decoded: as if half drawn well."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for images in from_pixels(pixels).split(32):
        with mixed_precision(torch.device("cpu")):
            latents = vae.encode(images).latent_dist.mean.float()
        level = noise * torch.rand((len(images), 1, 1, 1), generator=generator)
        added = torch.randn(latents.shape, generator=generator) / vae.config.scaling_factor
        with mixed_precision(torch.device("cpu")):
            parts.append(vae.decode(latents + level * added).sample)
    return to_pixels(torch.cat(parts))


def augment(pixels: Pixels, rng: np.random.Generator) -> Tensor:
    """Pictures uint8 (B, SIDE, SIDE, 3) -> (B, 3, SIDE, SIDE) in [-1, 1], varied.

    JPEG, mirror, shift, size, blur, light and noise, each too mild to turn one attribute
    into another: no hue is changed.
    """
    pixels = np.stack([_jpeg(p, rng) if rng.random() < 0.15 else p for p in pixels])
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    count = len(pixels)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=generator)

    images = _shift(from_pixels(pixels), uniform)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    soft = uniform(0, 1, 1, 1, 1)
    images = torch.where(soft > 0.8, images.lerp(blurred, (5 * soft - 4).clamp(0, 1)), images)
    images = images * uniform(0.92, 1.08, 1, 1, 1) * uniform(0.97, 1.03, 3, 1, 1)
    images = images + uniform(-0.08, 0.08, 1, 1, 1)
    level = uniform(-0.06, 0.06, 1, 1, 1).clamp(min=0)
    images = images + level * torch.randn(images.shape, generator=generator)
    return images.clamp(-1, 1)


def _shift(images: Tensor, uniform: Uniform) -> Tensor:
    """Mirror half of them, move by up to a sixteenth of the side, resize by 0.9 to 1.2."""
    size, move = uniform(1 / 1.2, 1 / 0.9), uniform(-1 / 8, 1 / 8, 2)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(size)
    rows = (
        torch.stack([size * mirror, zero, move[:, 0]], 1),
        torch.stack([zero, size, move[:, 1]], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _jpeg(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(55, 96)))
    return np.asarray(Image.open(buffer).convert("RGB"))
