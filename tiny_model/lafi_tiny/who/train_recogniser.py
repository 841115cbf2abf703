"""Stage `recogniser`: train teacher and student together on drawn characters.

The student learns from what the teacher says at that moment of the same pictures (online
distillation, arXiv:1804.03235), so no picture passes the teacher twice. Every step's
pictures and their variation follow from (seed, step, worker) alone: a resumed run is the
run that was never stopped.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from lafi_tiny.team import ALONE, Team, flat_gradients
from lafi_tiny.training import (
    mixed_precision,
    resume_state,
    save_half,
    save_state,
    set_learning_rate,
)
from lafi_tiny.who.figure_pool import FigurePool, FigureSpec, augment, fill_pool
from lafi_tiny.who.recogniser import (
    HIDDEN,
    SIDE,
    AttributePrototypes,
    build_recogniser,
)

PRINT_EVERY = 10
POOL = "figures"
STATE_FILE = "recognisers.pt"


@dataclass(frozen=True, slots=True)
class RecogniserTraining:
    """Settings of the stage. `scale` and `margin` are those of CosFace (arXiv:1801.09414).

    The margin is small because a unit embedding has nine attributes to point at: no
    cosine with a single one can be much above 0.35. `sides` are the pictures' sides in
    thirds of the run, small ones first (progressive learning, arXiv:2104.00298).
    """

    steps: int = 7200
    batch: int = 32
    pictures: int = 24_000
    peak_rate: float = 2e-3
    scale: float = 16.0
    margin: float = 0.05
    attraction: float = 2.0
    sides: tuple[int, int, int] = (48, 64, SIDE)
    seed: int = 0
    save_every: int = 50

    def side_at(self, step: int) -> int:
        """Side in pixels of the pictures of this step."""
        return self.sides[min(2, 3 * step // self.steps)]


@dataclass(frozen=True, slots=True)
class Distillation:
    """Weights of what the student learns from.

    temperature    of the soft labels (arXiv:1503.02531, which also says why their term
                   is multiplied by its square)
    soft           the teacher's distribution over every attribute's values
    match          one minus the cosine with the teacher's embedding of the same picture
    hard           the labels themselves, by the loss that the teacher has
    """

    temperature: float = 3.0
    soft: float = 0.3
    match: float = 4.0
    hard: float = 0.5


BY_DEFAULT = Distillation()

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of pictures (B, 3, S, S) and labels (B, 9): a scalar."""


class Recognisers(nn.Module):
    """Teacher, student and the directions of both: they embed into one space."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = build_recogniser("teacher")
        self.student = build_recogniser("student")
        self.prototypes = AttributePrototypes()


def prepare_pool(
    vae: AutoencoderKL, settings: RecogniserTraining, folder: Path, team: Team
) -> FigurePool:
    """Render what is missing of the training pictures, each worker its share."""
    fill_pool(folder / POOL, settings.pictures, vae, FigureSpec(), team.worker, team.workers)
    team.wait()
    return FigurePool(folder / POOL, settings.pictures)


def train_recognisers(
    settings: RecogniserTraining,
    folder: Path,
    vae: AutoencoderKL,
    team: Team = ALONE,
    distillation: Distillation = BY_DEFAULT,
) -> None:
    """Train or resume both; leaves `recognisers.pt` and `ROLE.safetensors` in `folder`."""
    pool = prepare_pool(vae, settings, folder, team)
    torch.manual_seed(settings.seed)
    both = Recognisers()

    def loss_of(images: Tensor, labels: Tensor) -> Tensor:
        with mixed_precision(torch.device("cpu")):
            theirs, own = both.teacher(images), both.student(images)
        loss = character_loss(both.prototypes, theirs, labels, settings)
        return loss + student_loss(
            both.prototypes, own, theirs.detach(), labels, settings, distillation
        )

    fit(both, loss_of, pool, settings, folder, team)


def character_loss(
    prototypes: AttributePrototypes,
    embeddings: Tensor,
    labels: Tensor,
    settings: RecogniserTraining,
) -> Tensor:
    """CosFace per attribute, plus the distance from the character's prototype.

    The second term leaves no length of the embedding to pose and scene.
    """
    loss = settings.attraction * (1 - (embeddings * prototypes.compose(labels)).sum(1)).mean()
    for column, cosines in enumerate(prototypes.cosines(embeddings).values()):
        wanted = labels[:, column]
        chosen = F.one_hot(wanted.clamp(min=0), cosines.shape[1])
        logits = settings.scale * (cosines - settings.margin * chosen)
        each = F.cross_entropy(logits, wanted, ignore_index=HIDDEN, reduction="sum")
        loss = loss + each / (wanted != HIDDEN).sum().clamp(min=1)
    return loss


def student_loss(
    prototypes: AttributePrototypes,
    embeddings: Tensor,
    wanted: Tensor,
    labels: Tensor,
    settings: RecogniserTraining,
    distillation: Distillation,
) -> Tensor:
    """Soft labels and embeddings (B, D) of the teacher, `wanted`, and the labels: a scalar."""
    loss = distillation.match * (1 - (embeddings * wanted).sum(1)).mean()
    theirs, heat = prototypes.cosines(wanted), settings.scale / distillation.temperature
    for name, cosines in prototypes.cosines(embeddings).items():
        soft = F.kl_div(
            F.log_softmax(heat * cosines, dim=1),
            F.softmax(heat * theirs[name].detach(), dim=1),
            reduction="batchmean",
        )
        loss = loss + distillation.soft * distillation.temperature**2 * soft
    return loss + distillation.hard * character_loss(prototypes, embeddings, labels, settings)


def fit(
    both: Recognisers,
    loss_of: Loss,
    pool: FigurePool,
    settings: RecogniserTraining,
    folder: Path,
    team: Team,
) -> None:
    """AdamW with a cosine schedule; `both` is trained in place."""
    path, console = folder / STATE_FILE, Console()
    both.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rate = settings.peak_rate
    optimizer = torch.optim.AdamW(both.parameters(), lr=rate, weight_decay=0.02, fused=True)
    start = resume_state(path, both, optimizer)
    gradients = flat_gradients(both)
    for step in range(start, settings.steps):
        rng = np.random.default_rng([settings.seed, step, team.worker])
        rows = rng.integers(len(pool), size=settings.batch)
        images = F.interpolate(augment(pool.pixels[rows], rng), settings.side_at(step), mode="area")
        images = images.contiguous(memory_format=torch.channels_last)
        loss = loss_of(images, pool.labels[torch.from_numpy(rows)])
        gradients.zero_()
        loss.backward()
        team.average(gradients)
        # Each by itself: the student's gradients are much the larger ones at first.
        for part in both.children():
            nn.utils.clip_grad_norm_(part.parameters(), 5.0)
        set_learning_rate(optimizer, cosine_rate(step, settings.steps, rate))
        optimizer.step()
        if not team.is_first:
            continue
        if step % PRINT_EVERY == 0:
            console.print(f"recogniser step {step}/{settings.steps} loss {loss.item():.4f}")
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            _save(path, step + 1, both, optimizer, {**asdict(settings), "workers": team.workers})


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 20) -> float:
    """Warm up linearly, then fall to zero along half a cosine (arXiv:1608.03983)."""
    rising = min(1.0, (step + 1) / warmup)
    return rising * peak * 0.5 * (1 + math.cos(math.pi * step / steps))


def _save(
    path: Path,
    step: int,
    both: Recognisers,
    optimizer: torch.optim.Optimizer,
    settings: dict[str, Any],
) -> None:
    state = {"model": both.state_dict(), "optimizer": optimizer.state_dict()}
    save_state(path, {"step": step, "settings": settings, **state})
    save_half(both.teacher, path.parent / "teacher.safetensors")
    save_half(both.student, path.parent / "student.safetensors")
