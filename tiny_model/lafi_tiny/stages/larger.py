"""Stage `larger`: the finished denoiser goes on at 128, 192 and 256 px, so that it can refine.

A second drawing stage at twice the size starts from an enlarged picture: what is asked of the
model there is texture, not layout. The pictures are the same whatever the side, so their figures
grow with it.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.batches import Batches
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.latent_store import LatentStore
from lafi_tiny.stages.muon import Muon
from lafi_tiny.stages.stage_folder import SaveClock, mark_finished
from lafi_tiny.stages.text_to_latent import LARGER_FILE, first_file, load_denoiser
from lafi_tiny.stages.tokenizer import stage_tokenizer
from lafi_tiny.stages.train_denoiser import PRINT_EVERY, velocity_loss
from lafi_tiny.team import ALONE, Team, flat_gradients
from lafi_tiny.training import MovingAverage, device, save_state

LARGER_STATE = "larger_state.pt"


@dataclass(frozen=True, slots=True)
class Size:
    """Pictures of one side: how many a batch has, and how many are kept encoded."""

    side: int
    batch: int
    most: int
    share: float


@dataclass(frozen=True, slots=True)
class LargerTraining:
    """Settings of the stage. A batch of every size costs about the same.

    times_drawn: how often a picture is drawn before more are encoded. Encoding 500 pictures costs
    as much as twenty steps.
    """

    steps: int = 1_000
    peak_rate: float = 3.0e-4
    sizes: tuple[Size, ...] = (
        Size(128, 48, 60_000, 0.4),
        Size(192, 21, 12_000, 0.3),
        Size(256, 12, 8_000, 0.3),
    )
    empty_captions: float = 0.10
    inpainted: float = 0.6
    redrawn: float = 0.8
    average: float = 0.998
    first_pictures: int = 500
    times_drawn: float = 2.0
    seed: int = 0
    save_seconds: float = 300.0


def larger_rate(step: int, settings: LargerTraining) -> float:
    """Share of the peak: warm up, then fall linearly to nothing."""
    return max(0.0, min((step + 1) / 100, (settings.steps - step) / settings.steps))


def train_larger(
    plan: Blueprint, settings: LargerTraining, folder: Path, team: Team = ALONE
) -> None:
    """Train or resume from the best checkpoint; leaves its moving average in LARGER_FILE."""
    run = _Run(plan, settings, folder, team)
    while run.step < settings.steps:
        run.one_step()
    run.save()
    if team.is_first:
        mark_finished(folder, "larger")


class _Run:
    """Everything that one worker has in hand while it trains."""

    def __init__(self, plan: Blueprint, settings: LargerTraining, folder: Path, team: Team) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.folder, self.team, self.place = settings, folder, team, device()
        tokenizer = stage_tokenizer(folder)
        vae = load_average(plan, folder).to(self.place)
        self.model = load_denoiser(plan, folder, tokenizer, file=first_file(folder))
        self.model.train().placed_for_training(self.place)
        self.average = MovingAverage(self.model, settings.average)
        rates = settings.peak_rate, settings.peak_rate / 2
        self.optimizer = Muon(self.model, *rates, weight_decay=0.02, team=team)
        self.step = self._resume()
        self.gradients = flat_gradients(self.model)
        torch.manual_seed(settings.seed + 1000 * self.step + team.worker)
        # All workers take the same size at a step, so that none waits for a larger one.
        self.chooser = np.random.default_rng([settings.seed, 3, self.step])
        shares = {
            "empty_captions": settings.empty_captions,
            "inpainted": settings.inpainted,
            "redrawn": settings.redrawn,
        }
        self.batches = []
        encode, noise = partial(self.model.token_ids, tokenizer), self.model.noise
        for k, size in enumerate(settings.sizes):
            place = {"worker": team.worker, "workers": team.workers}
            most = {"side": size.side, "most": size.most}
            store = LatentStore(folder, vae, seed=settings.seed, **most, **place)
            while len(store) < min(settings.first_pictures, size.most):
                store.grow()
            rng = np.random.default_rng([settings.seed, 4, k, self.step, team.worker])
            self.batches.append(Batches(store, encode, noise, rng, size=size.batch, **shares))
        self.clock = SaveClock(settings.save_seconds)

    def one_step(self) -> None:
        """Draw a batch of one size, learn, and if it is time save, and grow that size's store."""
        self.optimizer.set_rate(larger_rate(self.step, self.settings))
        chosen = self.chooser.choice(
            len(self.batches), p=[size.share for size in self.settings.sizes]
        )
        batches = self.batches[chosen]
        loss = velocity_loss(self.model, batches.draw(), self.place)[0]
        self.gradients.zero_()
        loss.backward()
        self.team.average(self.gradients)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        size = self.settings.sizes[chosen]
        if self.step * size.share * size.batch > self.settings.times_drawn * len(batches.store):
            batches.store.grow()
        if not self.team.is_first:
            return
        self.average.update(self.model)
        if self.step % PRINT_EVERY == 0:
            print(f"larger step {self.step} at {size.side} px loss {loss.item():.4f}", flush=True)
        if self.clock.is_time():
            self.save()

    def save(self) -> None:
        """Write what a later run needs, and the moving average, by the first worker."""
        if not self.team.is_first:
            return
        average = {k: v.half() for k, v in self.average.module.state_dict().items()}
        save_state(self.folder / LARGER_FILE, {"step": self.step, "average": average})
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
        }
        save_state(self.folder / LARGER_STATE, state)

    def _resume(self) -> int:
        path = self.folder / LARGER_STATE
        if not path.exists():
            return 0
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
