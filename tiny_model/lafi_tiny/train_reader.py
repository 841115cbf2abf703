"""Stage `reader`: trained on fresh renders, half of them passed through the VAE."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from lafi_tiny.architecture import Architecture
from lafi_tiny.attributes import Scene
from lafi_tiny.dataset import DatasetSpec, load_pictures, render_range
from lafi_tiny.picture import Figure, Picture
from lafi_tiny.reader import CLASSES, Reader, halves, load_reader, targets
from lafi_tiny.train_vae import load_vae
from lafi_tiny.training import (
    device,
    from_pixels,
    learning_rate,
    resume_state,
    save_half,
    save_state,
    set_learning_rate,
)

READER_FILE = "reader.safetensors"
STATE_FILE = "reader.pt"
SAVE_EVERY = 500


@dataclass(frozen=True, slots=True)
class ReaderTraining:
    """Settings of the stage."""

    steps: int = 2500
    batch: int = 48
    peak_rate: float = 1.5e-3
    through_vae: float = 0.5
    seed: int = 0


def train_reader(arch: Architecture, settings: ReaderTraining, folder: Path) -> Reader:
    """Train (or resume) the reader; leaves `reader.safetensors` in `folder`."""
    torch.manual_seed(settings.seed)
    place, console = device(), Console()
    pictures, spec = load_pictures(folder / "pictures"), DatasetSpec(settings.seed, arch.side)
    vae = load_vae(arch, folder).to(place)
    reader = Reader().to(place)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=settings.peak_rate, weight_decay=1e-3)
    start = resume_state(folder / STATE_FILE, reader, optimizer, "reader")
    rng = np.random.default_rng([settings.seed, 3, start])
    for step in range(start, settings.steps):
        indices = rng.integers(len(pictures), size=settings.batch)
        images = from_pixels(pictures[indices]).to(place)
        if rng.random() < settings.through_vae:
            images = through_vae(vae, images)
        images, figures, scenes = single_views(images, [spec.picture(int(i)) for i in indices], rng)
        images = images + 0.04 * torch.randn_like(images)
        set_learning_rate(optimizer, learning_rate(step, settings.steps, settings.peak_rate))
        loss = _loss(reader, images, figures, scenes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            console.print(f"reader step {step}/{settings.steps} loss {loss.item():.4f}")
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == settings.steps:
            _save(folder, step + 1, reader, optimizer)
    return reader.eval()


def _save(folder: Path, step: int, reader: Reader, optimizer: torch.optim.Optimizer) -> None:
    state = {"reader": reader.state_dict(), "optimizer": optimizer.state_dict()}
    save_state(folder / STATE_FILE, {"step": step, **state})
    save_half(reader, folder / READER_FILE)


def single_views(
    images: Tensor, pictures: list[Picture], rng: np.random.Generator
) -> tuple[Tensor, list[Figure], list[Scene]]:
    """One figure per row: the whole picture of a single one, a random half of the others."""
    left, right = halves(images)
    rows, figures, scenes = [], [], []
    for row, picture in enumerate(pictures):
        side = int(rng.integers(len(picture.figures)))
        single = len(picture.figures) == 1
        rows.append(images[row] if single else (left, right)[side][row])
        figures.append(picture.figures[side])
        scenes.append(picture.scenes[side if len(picture.scenes) == 2 else 0])
    return torch.stack(rows), figures, scenes


@torch.no_grad()
def through_vae(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Encode and decode pictures (B, 3, H, W) in [-1, 1]."""
    with torch.autocast(images.device.type, torch.bfloat16):
        decoded: Tensor = vae.decode(vae.encode(images).latent_dist.mean).sample
    return decoded.float().clamp(-1, 1)


def _loss(reader: Reader, images: Tensor, figures: list[Figure], scenes: list[Scene]) -> Tensor:
    wanted, circle = targets(figures, scenes)
    with torch.autocast(images.device.type, torch.bfloat16):
        logits, found = reader(images)
    loss = 4.0 * F.mse_loss(found.float(), circle.to(images.device))
    for name, values in logits.items():
        loss = loss + F.cross_entropy(values.float(), wanted[name].to(images.device))
    return loss


def measure_floor(arch: Architecture, folder: Path, count: int = 512) -> dict[str, float]:
    """Accuracy per class and mean angle error (degrees) on fresh renders through the VAE."""
    spec = DatasetSpec(seed=1_000_003, side=arch.side)
    vae, reader = load_vae(arch, folder), load_reader(folder / READER_FILE)
    rng = np.random.default_rng(4)
    images = torch.cat(
        [through_vae(vae, from_pixels(render_range(spec, i, i + 32))) for i in range(0, count, 32)]
    )
    views, figures, scenes = single_views(images, [spec.picture(i) for i in range(count)], rng)
    wanted, circle = targets(figures, scenes)
    with torch.inference_mode():
        logits, found = reader(views)
    floor = {
        name: (logits[name].argmax(1) == wanted[name]).float().mean().item() for name in CLASSES
    }
    angle = torch.atan2(found[..., 0], found[..., 1]) - torch.atan2(circle[..., 0], circle[..., 1])
    wrapped = torch.atan2(angle.sin(), angle.cos()).abs().rad2deg()
    return {**floor, "angle_error_degrees": wrapped.mean().item()}
