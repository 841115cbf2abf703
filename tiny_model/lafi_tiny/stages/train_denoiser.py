"""How a text-to-image model is trained: stage `denoiser`, and `transformer` with another recipe.

Pictures that show two figures are often trained as in inpainting: one half of the latent is
cleaner than the timestep says, and the loss is taken on the other half. That is what teaches
self-attention to fetch appearance from elsewhere in the picture. No picture ever attends to
another one. Beside the loss, middle features name what each side of the picture shows.
"""

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.batches import Batch, Batches
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.curve import Curve
from lafi_tiny.stages.denoising_model import DenoisingModel, Namer, Recipe, StageFiles
from lafi_tiny.stages.latent_store import LatentStore
from lafi_tiny.stages.muon import Muon
from lafi_tiny.stages.noise import NoiseModel
from lafi_tiny.stages.reader_targets import UNSEEN
from lafi_tiny.stages.stage_folder import SaveClock, mark_finished
from lafi_tiny.stages.text_to_latent import DENOISER, denoiser_recipe
from lafi_tiny.team import ALONE, Team, flat_gradients
from lafi_tiny.training import MovingAverage, device, mixed_precision, save_state

PRINT_EVERY = 50


@dataclass(frozen=True, slots=True)
class DenoiserTraining:
    """Settings of a stage. Shares are of the batch.

    The rate holds until `finish` says from which step on and over how many it falls.
    compiled: the networks' blocks, by torch's compiler, where there is a C++ compiler.
    seeded_steps: what a step draws depends on its number alone, so that a resumed run is the one
    that was never stopped; without it, on where the run was last resumed too.
    """

    steps: int = 21_000
    decay_steps: int = 4_500
    batch: int = 48
    peak_rate: float = 1.0e-3
    empty_captions: float = 0.10
    inpainted: float = 0.6
    redrawn: float = 0.8
    naming: float = 0.05
    average: float = 0.9993
    store: int = 200_000
    first_pictures: int = 4_000
    grow_every: int = 20
    seed: int = 0
    save_seconds: float = 300.0
    watch_every: int = 700
    seeded_steps: bool = False
    compiled: bool = False


def build_optimizer(both: nn.Module, settings: DenoiserTraining, team: Team = ALONE) -> Muon:
    """Of the networks and of the heads that name what is drawn."""
    rates = settings.peak_rate, settings.peak_rate / 2
    return Muon(both, *rates, weight_decay=0.02, team=team)


def rate_share(step: int, settings: DenoiserTraining, finish: dict[str, int] | None) -> float:
    """Warm up, hold, fall linearly to nothing (arXiv:2405.18392)."""
    start = settings.steps - settings.decay_steps if finish is None else finish["start"]
    steps = settings.decay_steps if finish is None else finish["steps"]
    return max(0.0, min(1.0, (step + 1) / 300, (start + steps - step) / steps))


def train_denoiser(
    plan: Blueprint, settings: DenoiserTraining, folder: Path, team: Team = ALONE
) -> None:
    """`train_recipe` of the UNet."""
    train_recipe(denoiser_recipe(plan), plan, settings, folder, team)


def train_recipe(
    recipe: Recipe, plan: Blueprint, settings: DenoiserTraining, folder: Path, team: Team = ALONE
) -> None:
    """Train or resume; leaves state and best checkpoint under the recipe's names, and a curve.

    plan: of the autoencoder whose latents are learnt.
    Every worker of a team draws `settings.batch` pictures a step and shares its gradients.
    """
    run = _Run(recipe, plan, settings, folder, team)
    while run.step < run.last_step:
        run.one_step()
    run.save()
    if team.is_first:
        run.watch()
        mark_finished(folder, recipe.files.name)


class _Run:
    """Everything that one worker has in hand while it trains."""

    def __init__(
        self,
        recipe: Recipe,
        plan: Blueprint,
        settings: DenoiserTraining,
        folder: Path,
        team: Team,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.recipe, self.files, self.plan = recipe, recipe.files, plan
        self.settings, self.folder, self.team = settings, folder, team
        self.place = device()
        if team.is_first:
            recipe.tokenizer(folder, settings.seed)
        team.wait()
        self.tokenizer = recipe.tokenizer(folder, settings.seed)
        self.vae = load_average(plan, folder)
        self.store = self._store()
        self.model = recipe.build(self.tokenizer)
        self.model.placed_for_training(self.place)
        self.namer = Namer(self.model.middle).to(self.place)
        self.both = nn.ModuleDict({"model": self.model, "namer": self.namer})
        self.average = MovingAverage(self.model, settings.average)
        if settings.compiled and shutil.which("g++"):
            self.model.compile_blocks()
        self.optimizer = build_optimizer(self.both, settings, team)
        self.step = self._resume()
        self.gradients = flat_gradients(self.both)
        rng = self._seeded()
        shares = {
            "empty_captions": settings.empty_captions,
            "inpainted": settings.inpainted,
            "redrawn": settings.redrawn,
        }
        encode, noise = partial(self.model.token_ids, self.tokenizer), self.model.noise
        self.batches = Batches(self.store, encode, noise, rng, size=settings.batch, **shares)
        self.clock, self.losses = SaveClock(settings.save_seconds), [0.0]
        self.finish = read_finish(folder, self.files)

    @property
    def last_step(self) -> int:
        """Where training ends."""
        if self.finish is None:
            return self.settings.steps
        return self.finish["start"] + self.finish["steps"]

    def _store(self) -> LatentStore:
        settings, team = self.settings, self.team
        store = LatentStore(
            self.folder,
            self.vae.to(self.place),
            seed=settings.seed,
            side=self.plan.side,
            most=settings.store,
            worker=team.worker,
            workers=team.workers,
        )
        while len(store) < settings.first_pictures:
            store.grow()
        return store

    def _seeded(self) -> np.random.Generator:
        """What is drawn from here on, noise too, as the present step has it."""
        settings, worker = self.settings, self.team.worker
        torch.manual_seed(settings.seed + 1000 * self.step + worker)
        return np.random.default_rng([settings.seed, 2, self.step, worker])

    def one_step(self) -> None:
        """Draw, learn, and now and then save, measure and grow the store."""
        settings = self.settings
        self.optimizer.set_rate(rate_share(self.step, settings, self.finish))
        if settings.seeded_steps:
            self.batches.rng = self._seeded()
        loss, naming = denoising_loss(self.model, self.namer, self.batches.draw(), self.place)
        self.gradients.zero_()
        (loss + settings.naming * naming).backward()
        self.team.average(self.gradients)
        torch.nn.utils.clip_grad_norm_(self.both.parameters(), 1.0)
        self.optimizer.step()
        self.losses.append(loss.item())
        self.step += 1
        if self.step % settings.grow_every == 0:
            self.store.grow()
        if not self.team.is_first:
            if self.step % PRINT_EVERY == 0:
                self.finish = read_finish(self.folder, self.files)
            return
        self.average.update(self.model)
        if self.step % PRINT_EVERY == 0:
            self.finish = read_finish(self.folder, self.files)
            shown = np.mean(self.losses[-PRINT_EVERY:])
            line = f"{self.files.name} step {self.step} loss {shown:.4f} naming {naming.item():.2f}"
            print(f"{line} store {len(self.store)}", flush=True)
        if self.clock.is_time():
            self.save()
        if self.step % settings.watch_every == 0:
            self.watch()

    def watch(self) -> None:
        """Draw with the moving average, read, note the figures, keep the best."""
        pictures = self.step * self.settings.batch * self.team.workers
        curve = Curve(self.recipe, self.folder, self.vae, self.tokenizer)
        loss = float(np.mean(self.losses[-500:]))
        curve.add(self.average.module, step=self.step, pictures=pictures, loss=loss)

    def save(self) -> None:
        """Write everything that a later run needs, by the first worker."""
        if not self.team.is_first:
            return
        state: dict[str, Any] = {
            "step": self.step,
            "both": self.both.state_dict(),
            "average": self.average.module.state_dict(),
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
        }
        save_state(self.folder / self.files.state, state)

    def _resume(self) -> int:
        path = self.folder / self.files.state
        if not path.exists():
            return 0
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.both.load_state_dict(state["both"])
        self.average.module.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])


def read_finish(folder: Path, files: StageFiles = DENOISER) -> dict[str, int] | None:
    """From which step on the rate falls and over how many steps, if that was decided."""
    path = folder / files.finish
    if not path.exists():
        return None
    finish: dict[str, int] = json.loads(path.read_text())
    return finish


def plan_finish(folder: Path, steps: int, files: StageFiles = DENOISER) -> dict[str, int]:
    """Decide that the rate falls to nothing over the next `steps` from the last saved one."""
    state = torch.load(folder / files.state, map_location="cpu", weights_only=True, mmap=True)
    finish = {"start": int(state["step"]) + PRINT_EVERY, "steps": steps}
    (folder / files.finish).write_text(json.dumps(finish) + "\n")
    return finish


def denoising_loss(
    model: DenoisingModel, namer: Namer, batch: Batch, place: torch.device
) -> tuple[Tensor, Tensor]:
    """The loss of `velocity_loss`, and the loss of the names."""
    loss, middle = velocity_loss(model, batch, place)
    return loss, naming_loss(namer, middle, batch, model.noise)


def velocity_loss(
    model: DenoisingModel, batch: Batch, place: torch.device
) -> tuple[Tensor, Tensor]:
    """Mean squared error of what is predicted where the latent is fresh, and middle features."""
    latents, fresh = batch.latents.to(place), batch.fresh.to(place)
    timesteps = batch.timesteps.to(place)
    noise = torch.randn_like(latents)
    noisy = model.noise.noisy(latents, noise, timesteps)
    given = model.noise.noisy(latents, noise, batch.given_timesteps.to(place))
    mixed = fresh * noisy + (1 - fresh) * given
    target = model.noise.target(latents, noise, timesteps)
    with mixed_precision(place):
        text = model.read(batch.token_ids.to(place))
        predicted, middle = model.predict(mixed, timesteps, text)
    error = (predicted.float() - target).pow(2) * fresh
    loss: Tensor = error.sum() / fresh.expand_as(error).sum()
    return loss, middle


def naming_loss(namer: Namer, features: Tensor, batch: Batch, noise: NoiseModel) -> Tensor:
    """Cross entropies and squared errors of joints, by how much signal the timestep leaves."""
    place = features.device
    rows = batch.named.to(place)
    signal = noise.signal(batch.timesteps.to(place)[rows])
    weights = torch.cat([signal, signal])
    logits, found = namer(features[rows].float())
    losses = []
    for name, wanted in batch.targets.classes().items():
        wanted = wanted.to(place)
        each = F.cross_entropy(logits[name], wanted, ignore_index=UNSEEN, reduction="none")
        losses.append((each * weights).mean())
    counted = batch.targets.counted().to(place)
    error = (found - batch.targets.circle().to(place)).pow(2).sum(-1) * counted
    losses.append(3.0 * (error.mean(1) * weights).mean())
    return torch.stack(losses).sum()
