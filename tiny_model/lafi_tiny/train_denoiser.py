"""Stage `denoiser`: UNet and text encoder together, v-prediction, as a text-to-image model.

Pictures that show two figures are sometimes trained as in inpainting: one half of the
latent is cleaner than the timestep says, and the loss is taken on the other half. That
is what teaches self-attention to fetch appearance from elsewhere in the picture. No
picture ever attends to another one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_tiny.architecture import Architecture, build_noise_schedule
from lafi_tiny.caption import random_caption
from lafi_tiny.dataset import DatasetSpec
from lafi_tiny.evaluate import watch_training
from lafi_tiny.latents import LatentCache
from lafi_tiny.team import ALONE, Team, flat_gradients
from lafi_tiny.text_to_latent import WEIGHTS_FILE, TextToLatent, stage_tokenizer
from lafi_tiny.tokenizer import token_ids
from lafi_tiny.train_vae import load_vae
from lafi_tiny.training import (
    MovingAverage,
    device,
    learning_rate,
    save_state,
    set_learning_rate,
)

START_CHUNKS = 16
PRINT_EVERY = 50
GROW_EVERY = 16
"""Steps between two chunks of latents, so that encoding them never holds training up."""


@dataclass(frozen=True, slots=True)
class DenoiserTraining:
    """Settings of the stage. Shares are of the batch."""

    steps: int = 8000
    batch: int = 32
    peak_rate: float = 6e-4
    empty_captions: float = 0.10
    inpainted: float = 0.6
    average: float = 0.998
    seed: int = 0
    save_every: int = 500
    watch_every: int = 1000


def train_denoiser(
    arch: Architecture, settings: DenoiserTraining, folder: Path, team: Team = ALONE
) -> None:
    """Train or resume; leaves `denoiser.pt` with the weights and their moving average.

    Every worker of a team draws `settings.batch` pictures a step and shares its gradients.
    """
    torch.manual_seed(settings.seed)
    spec = DatasetSpec(seed=settings.seed, side=arch.side)
    place, console = device(), Console()
    vae = load_vae(arch, folder).to(place)
    if team.is_first:
        LatentCache(folder, vae, start_chunks=START_CHUNKS)
        stage_tokenizer(folder, spec)
    team.wait()
    tokenizer = stage_tokenizer(folder)
    cache = LatentCache(folder, vae, START_CHUNKS, team.worker, team.workers)
    model = TextToLatent(arch, tokenizer).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if place.type == "cpu":
        # The fused CPU kernel's backward is several times slower at these head sizes.
        model.unet.set_attn_processor(AttnProcessor())
    average = MovingAverage(model, settings.average)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.peak_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    start = _resume(folder / WEIGHTS_FILE, model, average, optimizer)
    gradients = flat_gradients(model)
    torch.manual_seed(settings.seed + 1000 * start + team.worker)
    batches = _Batches(settings, spec, tokenizer, cache, start, team.worker)
    schedule = build_noise_schedule()
    losses: list[float] = []
    steps = range(start, settings.steps)
    for step in track(steps, "denoiser", console=console, disable=not team.is_first):
        set_learning_rate(optimizer, learning_rate(step, settings.steps, settings.peak_rate, 300))
        loss = _loss(model, schedule, batches.draw(), place)
        gradients.zero_()
        loss.backward()
        team.average(gradients)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % GROW_EVERY == 0:
            cache.grow()
        if not team.is_first:
            continue
        average.update(model)
        if (step + 1) % PRINT_EVERY == 0:
            shown = np.mean(losses[-PRINT_EVERY:])
            console.print(f"step {step + 1} loss {shown:.4f} pictures {len(cache)}")
        last = step + 1 == settings.steps
        if last or (step + 1) % settings.save_every == 0:
            _save(folder / WEIGHTS_FILE, step + 1, model, average, optimizer)
        if last or (step + 1) % settings.watch_every == 0:
            console.print(watch_training(average.module, vae, tokenizer, folder, step + 1))


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch; `fresh` (B, 1, 1, w) is 1 where the loss counts, 0 in a given half."""

    latents: Tensor
    token_ids: Tensor
    timesteps: Tensor
    given_timesteps: Tensor
    fresh: Tensor


class _Batches:
    def __init__(
        self,
        settings: DenoiserTraining,
        spec: DatasetSpec,
        tokenizer: CLIPTokenizer,
        cache: LatentCache,
        start: int,
        worker: int,
    ) -> None:
        self.settings, self.spec, self.tokenizer, self.cache = settings, spec, tokenizer, cache
        self.rng = np.random.default_rng([settings.seed, 2, start, worker])

    def draw(self) -> Batch:
        size, rng = self.settings.batch, self.rng
        indices = rng.integers(len(self.cache), size=size)
        latents = self.cache.batch(indices)
        captions, double = [], np.zeros(size, dtype=bool)
        for row, index in enumerate(indices):
            picture = self.spec.picture(int(index))
            caption = random_caption(rng, picture)
            double[row] = picture.kind != "single"
            empty = rng.random() < self.settings.empty_captions
            captions.append("" if empty else caption)
        tokens = token_ids(self.tokenizer, captions)
        timesteps = random_timesteps(rng, size)
        given = np.where(rng.random(size) < 0.5, 0, (timesteps * rng.random(size)).astype(int))
        inpainted = double & (rng.random(size) < self.settings.inpainted)
        left = rng.random(size) < 0.5
        width = latents.shape[-1]
        in_left = np.arange(width) < width // 2
        fresh = np.where(inpainted[:, None], in_left[None, :] == left[:, None], True)
        return Batch(
            latents=latents,
            token_ids=tokens,
            timesteps=torch.from_numpy(timesteps),
            given_timesteps=torch.from_numpy(given),
            fresh=torch.from_numpy(fresh.astype(np.float32))[:, None, None, :],
        )


def random_timesteps(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Training timesteps (size,) in [0, 1000), the middle and upper ones more often.

    Poses and colours are decided there, as the loss with a wrong caption shows, and details
    below. Two fifths are uniform, so that no level is left out; compare arXiv:2403.03206.
    """
    level = np.where(rng.random(size) < 0.4, rng.random(size), rng.beta(3.0, 2.0, size))
    return np.minimum(level * 1000, 999).astype(np.int64)


def _loss(
    model: TextToLatent, schedule: DDIMScheduler, batch: Batch, place: torch.device
) -> Tensor:
    """Mean squared error of v where the latent is fresh, a scalar."""
    latents, fresh = batch.latents.to(place), batch.fresh.to(place)
    timesteps = batch.timesteps.to(place)
    noise = torch.randn_like(latents)
    noisy = schedule.add_noise(latents, noise, timesteps)
    given = schedule.add_noise(latents, noise, batch.given_timesteps.to(place))
    mixed = fresh * noisy + (1 - fresh) * given
    target = schedule.get_velocity(latents, noise, timesteps)
    with torch.autocast(place.type, torch.bfloat16):
        predicted = model(mixed, timesteps, batch.token_ids.to(place))
    error = (predicted.float() - target).pow(2) * fresh
    loss: Tensor = error.sum() / fresh.expand_as(error).sum()
    return loss


def _save(
    path: Path,
    step: int,
    model: TextToLatent,
    average: MovingAverage[TextToLatent],
    optimizer: torch.optim.Optimizer,
) -> None:
    state: dict[str, Any] = {
        "step": step,
        "model": model.state_dict(),
        "average": average.module.state_dict(),
        "updates": average.updates,
        "optimizer": optimizer.state_dict(),
    }
    save_state(path, state)


def _resume(
    path: Path,
    model: TextToLatent,
    average: MovingAverage[TextToLatent],
    optimizer: torch.optim.Optimizer,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    average.module.load_state_dict(state["average"])
    average.updates = state["updates"]
    if state["optimizer"]:
        optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
