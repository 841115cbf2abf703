"""Stage `autoencoder`: L1 that counts heads and outlines more, and a small KL term.

Pictures are drawn anew for every step, a third of them at 192 or 256 px and cut to 128.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lafi_tiny.hand.picture import render
from lafi_tiny.stages.blueprint import Blueprint, build_autoencoder
from lafi_tiny.stages.muon import Muon
from lafi_tiny.stages.samples import cropped, picture_of, weight_map
from lafi_tiny.stages.stage_folder import SaveClock, mark_finished
from lafi_tiny.training import (
    MovingAverage,
    device,
    from_pixels,
    mixed_precision,
    save_grid,
    save_state,
    to_pixels,
)

STATE_FILE = "autoencoder.pt"
WATCH_SEED = 2_000_003


@dataclass(frozen=True, slots=True)
class AutoencoderTraining:
    """Settings of the stage.

    decay        share of the steps over which the rate falls
    peak_rate    of Muon; everything that is no matrix learns at a third of it
    """

    steps: int = 3200
    batch: int = 8
    peak_rate: float = 4e-3
    decay: float = 0.25
    kl_weight: float = 1e-6
    edge_weight: float = 1.0
    average: float = 0.995
    seed: int = 0
    save_seconds: float = 180.0
    stop_after_seconds: float = 1e9


def train_autoencoder(plan: Blueprint, settings: AutoencoderTraining, folder: Path) -> None:
    """Train or resume; leaves `autoencoder.pt` with the weights and their moving average."""
    place = device()
    torch.manual_seed(settings.seed)
    vae = build_autoencoder(plan).to(place)
    _start_almost_without_noise(vae)
    average = MovingAverage(vae, settings.average)
    optimizer = Muon(vae, settings.peak_rate, settings.peak_rate / 3)
    start = _resume(folder / STATE_FILE, vae, average, optimizer)
    rng = np.random.default_rng([settings.seed, 11, start])
    clock, begun = SaveClock(settings.save_seconds), time.monotonic()
    for step in range(start, settings.steps):
        optimizer.set_rate(_rate_share(step, settings))
        images, weights = draw_batch(settings.batch, plan.side, rng)
        loss, error = _loss(vae, images.to(place), weights.to(place), settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae)
        if step % 50 == 0:
            print(f"autoencoder step {step} loss {loss.item():.4f} l1 {error:.4f}", flush=True)
        late = time.monotonic() - begun > settings.stop_after_seconds
        if late or clock.is_time() or step + 1 == settings.steps:
            state = {"vae": vae.state_dict(), "average": average.module.state_dict()}
            state |= {"step": step + 1, "updates": average.updates}
            save_state(folder / STATE_FILE, {**state, "optimizer": optimizer.state_dict()})
            print(watch(average.module, folder, step + 1), flush=True)
        if late:
            return
    _freeze(average.module, folder)
    mark_finished(folder, "autoencoder")


@torch.inference_mode()
def _freeze(vae: AutoencoderKL, folder: Path) -> None:
    """Keep the moving average alone, with 1 / std of its latents as the scaling factor."""
    pixels = [np.array(render(picture_of(WATCH_SEED + 1, i))) for i in range(256)]
    means = [vae.encode(from_pixels(image[None])).latent_dist.mean for image in pixels]
    factor = 1 / torch.cat(means).std().item()
    state = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    save_state(folder / STATE_FILE, {**state, "scaling_factor": factor})
    print(f"autoencoder frozen, scaling factor {factor:.4f}", flush=True)


def _rate_share(step: int, settings: AutoencoderTraining) -> float:
    """Warm up, hold, fall linearly."""
    left = (settings.steps - step) / (settings.decay * settings.steps)
    return min(1.0, (step + 1) / 50, max(0.01, left))


def draw_batch(size: int, window: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Fresh pictures (B, 3, window, window) in [-1, 1] and weights (B, 1, window, window)."""
    pairs = []
    for _ in range(size):
        scale = (1.0, 1.0, 1.0, 1.0, 1.5, 2.0)[int(rng.integers(6))]
        picture = picture_of(int(rng.integers(2**31)), 0)
        pairs.append(cropped(picture, round(scale * window), window, rng))
    images = from_pixels(np.stack([pixels for pixels, _ in pairs]))
    return images, torch.from_numpy(np.stack([weights for _, weights in pairs]))[:, None]


def _loss(
    vae: AutoencoderKL, images: Tensor, weights: Tensor, settings: AutoencoderTraining
) -> tuple[Tensor, float]:
    """The loss, and the plain mean absolute error."""
    with mixed_precision(images.device):
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.sample()).sample
    error = decoded.float() - images
    weights = weights / weights.mean(dim=(2, 3), keepdim=True)
    loss = (error.abs() * weights).mean() + 0.5 * (error.pow(2) * weights).mean()
    across = (error[..., 1:] - error[..., :-1]).abs() * weights[..., 1:]
    down = (error[..., 1:, :] - error[..., :-1, :]).abs() * weights[..., 1:, :]
    loss = loss + settings.edge_weight * 0.5 * (across.mean() + down.mean())
    loss = loss + settings.kl_weight * posterior.kl().float().mean()
    return loss, error.abs().mean().item()


def _start_almost_without_noise(vae: AutoencoderKL) -> None:
    """Begin as a plain autoencoder: a posterior of std 1 would hide the picture for long."""
    channels = vae.config.latent_channels
    torch.nn.init.constant_(vae.quant_conv.bias[channels:].data, -6.0)


@torch.inference_mode()
def watch(vae: AutoencoderKL, folder: Path, step: int) -> str:
    """Errors on pictures never trained on, all over and on heads, and a grid."""
    pictures = [picture_of(WATCH_SEED, i, held_out=True) for i in range(64)]
    pixels = np.stack([np.asarray(render(p)) for p in pictures])
    images = from_pixels(pixels)
    heads = torch.from_numpy(np.stack([weight_map(p, 128) for p in pictures]))[:, None] >= 5
    place = next(vae.parameters()).device
    parts = [through(vae, images[i : i + 16].to(place)).cpu() for i in range(0, 64, 16)]
    decoded = torch.cat(parts)
    error = (decoded - images).abs().mean(dim=1, keepdim=True)
    pairs = [np.stack([pixels[i], to_pixels(decoded[i : i + 1])[0]]) for i in range(24)]
    save_grid(np.concatenate(pairs), folder / "grids" / f"autoencoder_{step:06d}.png", zoom=2)
    return f"autoencoder step {step}: l1 {error.mean():.4f}, heads {error[heads].mean():.4f}"


@torch.no_grad()
def through(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Encode and decode pictures (B, 3, H, W) in [-1, 1]."""
    with mixed_precision(images.device):
        decoded: Tensor = vae.decode(vae.encode(images).latent_dist.mean).sample
    return decoded.float().clamp(-1, 1)


def _resume(
    path: Path,
    vae: AutoencoderKL,
    average: MovingAverage[AutoencoderKL],
    optimizer: torch.optim.Optimizer,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    vae.load_state_dict(state["vae"])
    average.module.load_state_dict(state["average"])
    average.updates = state["updates"]
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def load_average(plan: Blueprint, folder: Path) -> AutoencoderKL:
    """The moving average that the stage has left so far, ready to use."""
    vae = build_autoencoder(plan)
    state = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    vae.load_state_dict(state["average"])
    vae.register_to_config(scaling_factor=state.get("scaling_factor", 1.0))
    return vae.eval().requires_grad_(False)
