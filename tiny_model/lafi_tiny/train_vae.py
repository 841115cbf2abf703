"""Stage `vae`: the autoencoder, on rendered pictures, with L1 + L2 + a small KL term."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from rich.progress import track

from lafi_tiny.architecture import Architecture, build_vae
from lafi_tiny.dataset import load_pictures
from lafi_tiny.training import (
    device,
    from_pixels,
    learning_rate,
    save_grid,
    save_state,
    set_learning_rate,
    to_pixels,
)

VAE_FILE = "vae.pt"


@dataclass(frozen=True, slots=True)
class VaeTraining:
    """Settings of the stage."""

    steps: int = 1600
    batch: int = 32
    peak_rate: float = 2e-3
    kl_weight: float = 2e-6
    seed: int = 0
    save_every: int = 200


def train_vae(arch: Architecture, settings: VaeTraining, folder: Path) -> AutoencoderKL:
    """Train (or resume) and return the VAE with its scaling factor set to 1 / std."""
    torch.manual_seed(settings.seed)
    pictures = load_pictures(folder / "pictures")
    target = device()
    vae = build_vae(arch).to(target)
    _start_almost_without_noise(vae)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=settings.peak_rate, weight_decay=1e-4)
    start = _resume(folder / VAE_FILE, vae, optimizer)
    rng = np.random.default_rng([settings.seed, start])
    for step in track(range(start, settings.steps), description="vae"):
        picked = rng.integers(len(pictures), size=settings.batch)
        images = from_pixels(pictures[picked]).to(target)
        set_learning_rate(optimizer, learning_rate(step, settings.steps, settings.peak_rate))
        with torch.autocast(target.type, torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        error = decoded.float() - images
        loss = error.abs().mean() + error.pow(2).mean()
        loss = loss + settings.kl_weight * posterior.kl().float().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0:
            print(
                f"vae step {step} loss {loss.item():.4f} l1 {error.abs().mean().item():.4f}",
                flush=True,
            )
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            state = {"step": step + 1, "vae": vae.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(folder / VAE_FILE, state)
            pair = np.concatenate([to_pixels(images[:8]), to_pixels(decoded[:8])])
            save_grid(pair, folder / "grids" / f"vae_{step + 1:06d}.png", zoom=3)
    return _with_scaling(vae, pictures[:1024])


def refine_decoder(arch: Architecture, settings: VaeTraining, folder: Path) -> None:
    """Train (or resume) the decoder while the encoder, and with it every latent, stays as it is.

    `vae.pt` tells how far it came, until stage `vae` trains the encoder again.
    """
    torch.manual_seed(settings.seed + 1)
    pictures, place = load_pictures(folder / "pictures"), device()
    vae = build_vae(arch).to(place)
    steps_of_vae = _restore(folder, vae)
    parameters = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.peak_rate, weight_decay=1e-4)
    start = _resume_decoder(folder / VAE_FILE, optimizer)
    rng = np.random.default_rng([settings.seed, 8, start])
    for step in track(range(start, settings.steps), description="decoder"):
        images = from_pixels(pictures[rng.integers(len(pictures), size=settings.batch)]).to(place)
        set_learning_rate(optimizer, learning_rate(step, settings.steps, settings.peak_rate))
        with torch.autocast(place.type, torch.bfloat16):
            with torch.no_grad():
                latents = vae.encode(images).latent_dist.mode()
            decoded = vae.decode(latents).sample
        error = decoded.float() - images
        loss = error.abs().mean() + error.pow(2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            decoder = {"step": step + 1, "optimizer": optimizer.state_dict()}
            state = {"step": steps_of_vae, "vae": vae.state_dict(), "optimizer": {}}
            save_state(folder / VAE_FILE, {**state, "decoder": decoder})
            pair = np.concatenate([to_pixels(images[:8]), to_pixels(decoded[:8])])
            save_grid(pair, folder / "grids" / f"decoder_{step + 1:06d}.png", zoom=3)
            print(f"decoder step {step + 1}: L1 {error.abs().mean().item():.4f}", flush=True)


def load_vae(arch: Architecture, folder: Path) -> AutoencoderKL:
    """The VAE that the stage left in `folder`, with its scaling factor."""
    vae = build_vae(arch)
    _restore(folder, vae)
    return _with_scaling(vae.eval(), load_pictures(folder / "pictures")[:1024])


def _start_almost_without_noise(vae: AutoencoderKL) -> None:
    """Begin as a plain autoencoder: a posterior of std 1 would hide the picture for long."""
    channels = vae.config.latent_channels
    torch.nn.init.constant_(vae.quant_conv.bias[channels:].data, -6.0)


def _restore(folder: Path, vae: AutoencoderKL) -> int:
    """Load what is there, however many steps it was trained; returns that number."""
    if not (folder / VAE_FILE).exists():
        raise FileNotFoundError(f"no vae.pt in {folder}: run `python -m lafi_tiny vae` first")
    return _resume(folder / VAE_FILE, vae, None)


def _resume(path: Path, vae: AutoencoderKL, optimizer: torch.optim.Optimizer | None) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    vae.load_state_dict(state["vae"])
    if optimizer is not None and state["optimizer"]:
        optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _resume_decoder(path: Path, optimizer: torch.optim.Optimizer) -> int:
    kept = torch.load(path, map_location="cpu", weights_only=True).get("decoder")
    if kept is None:
        return 0
    optimizer.load_state_dict(kept["optimizer"])
    return int(kept["step"])


@torch.no_grad()
def _with_scaling(vae: AutoencoderKL, pictures: NDArray[np.uint8]) -> AutoencoderKL:
    place = next(vae.parameters()).device
    means = [
        vae.encode(from_pixels(pictures[i : i + 64]).to(place)).latent_dist.mean
        for i in range(0, len(pictures), 64)
    ]
    vae.register_to_config(scaling_factor=1 / torch.cat(means).std().item())
    return vae
