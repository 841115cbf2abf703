"""Stage `reader`: trained on fresh renders in named and free poses, made worse in many ways."""

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from lafi_tiny.hand.attributes import pick_weighted
from lafi_tiny.hand.picture import Picture, random_picture, render
from lafi_tiny.hand.pose import ANGLES
from lafi_tiny.stages.autoencoder import STATE_FILE as AUTOENCODER_FILE
from lafi_tiny.stages.autoencoder import load_average, through
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.degrade import degraded, through_noisy_latents
from lafi_tiny.stages.intervals import share_interval
from lafi_tiny.stages.muon import Muon
from lafi_tiny.stages.reader import CLASSES, Reader
from lafi_tiny.stages.reader_targets import UNSEEN, Targets, views_of_one
from lafi_tiny.stages.stage_folder import SaveClock, mark_finished
from lafi_tiny.training import MovingAverage, from_pixels, mixed_precision, save_half, save_state

STATE_FILE = "reader.pt"
READER_FILE = "reader.safetensors"
FLOOR_FILE = "reader_floor.json"
READER_KINDS = {"single": 0.55, "twins": 0.18, "strip": 0.10, "pair": 0.09, "trio": 0.08}
FLOOR_PICTURES = 512
THROUGH_AUTOENCODER = 0.6
"""Share of the batches that go through it when there is one."""
KEPT = 3000
"""Pictures that went through it and are shown again."""
GROUPS = ("single", "pair", "strip", "trio")


@dataclass(frozen=True, slots=True)
class ReaderTraining:
    """Settings of the stage; `free` is the share of free poses, whose action is not asked for."""

    steps: int = 7000
    batch: int = 32
    peak_rate: float = 3e-3
    decay: float = 0.35
    free: float = 0.3
    average: float = 0.998
    seed: int = 0
    save_seconds: float = 240.0
    watch_every: int = 1000


def train_reader(plan: Blueprint, settings: ReaderTraining, folder: Path) -> None:
    """Train or resume; leaves `reader.safetensors` and `reader_floor.json` in `folder`."""
    torch.manual_seed(settings.seed)
    reader = Reader()
    average = MovingAverage(reader, settings.average)
    optimizer = Muon(reader, settings.peak_rate, settings.peak_rate / 2, weight_decay=0.05)
    start = _resume(folder / STATE_FILE, reader, average, optimizer)
    rng = np.random.default_rng([settings.seed, 12, start])
    batches = ReaderBatches(settings.batch, settings.free, rng)
    clock, vae = SaveClock(settings.save_seconds), newest_autoencoder(plan, folder)
    for step in range(start, settings.steps):
        optimizer.set_rate(_rate_share(step, settings))
        images, targets = batches.draw(vae)
        loss, parts = reader_loss(reader, images, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 2.0)
        optimizer.step()
        average.update(reader)
        if step % 100 == 0:
            print(f"reader step {step} loss {loss.item():.3f} angles {parts:.4f}", flush=True)
        last = step + 1 == settings.steps
        if last or clock.is_time():
            state: dict[str, Any] = {
                "reader": reader.state_dict(),
                "average": average.module.state_dict(),
            }
            state |= {"step": step + 1, "updates": average.updates}
            save_state(folder / STATE_FILE, {**state, "optimizer": optimizer.state_dict()})
            save_half(average.module, folder / READER_FILE)
            vae = newest_autoencoder(plan, folder)
        if last or (step + 1) % settings.watch_every == 0:
            floor = measure_floor(average.module, vae, FLOOR_PICTURES if last else 128)
            (folder / FLOOR_FILE).write_text(
                json.dumps({"step": step + 1, "floor": floor}, indent=1)
            )
            print(f"reader step {step + 1}: {summary(floor)}", flush=True)
    mark_finished(folder, "reader")


def _rate_share(step: int, settings: ReaderTraining) -> float:
    left = (settings.steps - step) / (settings.decay * settings.steps)
    return min(1.0, (step + 1) / 100, max(0.01, left))


def newest_autoencoder(plan: Blueprint, folder: Path) -> AutoencoderKL | None:
    """The moving average of the autoencoder so far, or nothing yet."""
    if not (folder / AUTOENCODER_FILE).exists():
        return None
    return load_average(plan, folder)


class ReaderBatches:
    """Fresh views of one figure each, made worse, with what they show.

    Decoding costs more than learning. So what went through the autoencoder is kept, and of a batch
    of such pictures a quarter is new; each is seen about four times, made worse in other ways.
    """

    def __init__(self, size: int, free: float, rng: np.random.Generator) -> None:
        """free: the share of free poses, whose action is not asked for."""
        self._size, self._free, self._rng = size, free, rng
        self._kept: deque[tuple[Tensor, Picture, bool]] = deque(maxlen=KEPT)

    def draw(self, vae: AutoencoderKL | None) -> tuple[Tensor, Targets]:
        """The next batch (B, 3, 128, 128)."""
        rng = self._rng
        if vae is None or rng.random() >= THROUGH_AUTOENCODER:
            pictures, posed = self._pictures(self._size)
            images = rendered(pictures)
        else:
            pictures, posed = self._pictures(max(1, self._size // 4))
            through_vae = through_noisy_latents(rendered(pictures), rng, vae).half()
            self._kept.extend(zip(through_vae, pictures, posed, strict=True))
            chosen = rng.integers(len(self._kept), size=self._size - len(pictures))
            rows = [*(self._kept[i] for i in chosen)]
            images = torch.stack([*through_vae, *(row[0] for row in rows)]).float()
            pictures = [*pictures, *(row[1] for row in rows)]
            posed = [*posed, *(row[2] for row in rows)]
        return views_of_one(degraded(images, rng), pictures, posed, rng)

    def _pictures(self, count: int) -> tuple[list[Picture], list[bool]]:
        rng, pictures, posed = self._rng, [], []
        for _ in range(count):
            kind = pick_weighted(rng, READER_KINDS)
            is_free = kind == "single" and rng.random() < self._free
            held_out = rng.random() < 0.12
            pictures.append(random_picture(rng, kind, held_out=held_out, free=is_free))
            posed.append(not is_free)
        return pictures, posed


def rendered(pictures: list[Picture]) -> Tensor:
    """Pictures as (B, 3, 128, 128) in [-1, 1]."""
    return from_pixels(np.stack([np.asarray(render(p)) for p in pictures]))


def reader_loss(reader: Reader, images: Tensor, targets: Targets) -> tuple[Tensor, float]:
    """Cross entropies of what is seen and squared errors of joints; the latter alone, too."""
    with mixed_precision(torch.device("cpu")):
        logits, found = reader(images)
    counted = targets.counted()
    error = (found.float() - targets.circle()).pow(2).sum(-1) * counted
    angles = error.sum() / counted.sum().clamp_min(1)
    loss = 5.0 * angles
    for name, wanted in targets.classes().items():
        if (wanted != UNSEEN).any():
            loss = loss + F.cross_entropy(logits[name].float(), wanted, ignore_index=UNSEEN)
    return loss, angles.item()


@torch.inference_mode()
def measure_floor(reader: Reader, vae: AutoencoderKL | None, count: int) -> dict[str, Any]:
    """Share read right per class with its interval, and joint errors, on held-out pictures.

    By group: whole single figures, and columns of pairs, strips and trios; all through the
    autoencoder if there is one. `free` has joints of single figures in free poses.
    """
    floor: dict[str, Any] = {}
    for group in GROUPS:
        floor[group] = _floor_of(reader, vae, group, count, free=False)
    floor["free"] = {"degrees": _floor_of(reader, vae, "single", count, free=True)["degrees"]}
    return floor


def _floor_of(
    reader: Reader, vae: AutoencoderKL | None, kind: str, count: int, *, free: bool
) -> dict[str, Any]:
    hits: dict[str, list[bool]] = {name: [] for name in CLASSES}
    errors: list[Tensor] = []
    counted: list[Tensor] = []
    rng = np.random.default_rng([9_000_001, len(kind), free])
    for _ in range(0, count, 32):
        pictures = [random_picture(rng, kind, held_out=True, free=free) for _ in range(32)]
        images = rendered(pictures)
        if vae is not None:
            images = through(vae, images)
        views, targets = views_of_one(images, pictures, [not free] * 32, rng)
        logits, found = reader(views)
        for name, wanted in targets.classes().items():
            right = logits[name].argmax(1) == wanted
            hits[name] += right[wanted != UNSEEN].tolist()
        errors.append(angle_errors(found, targets.circle()))
        counted.append(targets.counted().bool())
    error, seen = torch.cat(errors), torch.cat(counted)
    joints = {n: error[:, i][seen[:, i]].mean().item() for i, n in enumerate(ANGLES)}
    names = {name: share_interval(rows) for name, rows in hits.items() if rows}
    return {**names, "degrees": {"mean": error[seen].mean().item(), **joints}}


def angle_errors(found: Tensor, wanted: Tensor) -> Tensor:
    """Absolute differences in degrees (B, angles) of two (B, angles, 2)."""
    angle = torch.atan2(found[..., 0], found[..., 1]) - torch.atan2(wanted[..., 0], wanted[..., 1])
    return torch.atan2(angle.sin(), angle.cos()).abs().rad2deg()


def summary(floor: dict[str, Any]) -> str:
    """One line: the classes below 0.97 in single figures, and joint errors."""
    single = floor["single"]
    low = {k: round(v["mean"], 3) for k, v in single.items() if "low" in v and v["mean"] < 0.97}
    mean = np.mean([v["mean"] for v in single.values() if "low" in v])
    angles = f"{single['degrees']['mean']:.1f} and {floor['free']['degrees']['mean']:.1f}"
    return f"mean {mean:.3f}, degrees {angles}, below 0.97 {low}"


def _resume(
    path: Path, reader: Reader, average: MovingAverage[Reader], optimizer: torch.optim.Optimizer
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    reader.load_state_dict(state["reader"])
    average.module.load_state_dict(state["average"])
    average.updates = state["updates"]
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
