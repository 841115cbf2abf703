"""Counts the figures of a picture, to find panels in which one figure was drawn twice.

The reader of the bundled model takes one figure for granted, so it cannot say. This network is
trained anew in each run, on renders that went through the autoencoder, and its error on others of
them stands beside every figure that it gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.evaluation.pairs import Pixels
from lafi_tiny.hand.picture import SIDE, Picture, render
from lafi_tiny.stages.samples import picture_of
from lafi_tiny.training import from_pixels

MOST_FIGURES: Final = 3
_WIDTHS: Final = (16, 32, 64, 96)
_TRAINING_SEED, _HELD_OUT_SEED = 41, 42

ThroughAutoencoder = Callable[[Sequence[Pixels]], list[Pixels]]
"""Pictures of one size, as they come back from encoding and decoding."""


@dataclass(frozen=True, slots=True)
class CounterTraining:
    """Numbers of pictures, and passes over those of training."""

    pictures: int = 3_000
    held_out: int = 500
    passes: int = 8
    batch: int = 48
    rate: float = 2.0e-3


@dataclass(frozen=True, slots=True)
class CounterError:
    """How a counter errs on real pictures that it has not seen.

    called_doubled  share of those with one figure in which it sees more
    missed          share of those with more figures in which it sees one
    """

    pictures: int
    called_doubled: float
    missed: float


class FigureCounter(nn.Module):
    """Logits (B, 3) of one, two and three figures in RGB (B, 3, H, W) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for width in _WIDTHS:
            down = nn.Conv2d(previous, width, 3, stride=2, padding=1)
            further = nn.Conv2d(width, width, 3, padding=1)
            layers += [down, nn.GroupNorm(8, width), nn.SiLU()]
            layers += [further, nn.GroupNorm(8, width), nn.SiLU()]
            previous = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(2 * previous, MOST_FIGURES)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return cast(Tensor, self.head(pooled))

    @torch.inference_mode()
    def count(self, images: Tensor) -> list[int]:
        """The number of figures in each picture of (B, 3, H, W) in [-1, 1]."""
        found: list[int] = []
        for part in images.split(64):
            found += [1 + int(k) for k in self(part).argmax(1)]
        return found


def halved(pixels: Pixels, side: int = SIDE) -> Pixels:
    """Square pictures (N, H, H, 3) made `side` high; a pixel is the mean of what it covers.

    Raises ValueError unless H is a multiple of `side`.
    """
    n, height, width, _ = pixels.shape
    if height % side or width != height:
        raise ValueError(f"pixels: got {height} x {width}, allowed: multiples of {side}, square")
    k = height // side
    mean = pixels.reshape(n, side, k, side, k, 3).astype(np.float32).mean((2, 4))
    small: Pixels = mean.round().astype(np.uint8)
    return small


def trained_counter(
    through: ThroughAutoencoder, training: CounterTraining
) -> tuple[FigureCounter, CounterError]:
    """A counter of pictures of SIDE, and its error; half of its pictures were twice as large."""
    torch.manual_seed(0)
    model = FigureCounter()
    images, counts = _pictures(through, _TRAINING_SEED, training.pictures)
    steps = training.passes * (len(images) // training.batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.rate, total_steps=steps)
    rng = torch.Generator().manual_seed(0)
    for _ in range(training.passes):
        order = torch.randperm(len(images), generator=rng)
        for rows in order.split(training.batch)[: len(images) // training.batch]:
            loss = F.cross_entropy(model(images[rows]), counts[rows] - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    return model, counter_error(model, *_pictures(through, _HELD_OUT_SEED, training.held_out))


def counter_error(counter: FigureCounter, images: Tensor, counts: Tensor) -> CounterError:
    """The errors on pictures (B, 3, H, W) whose numbers of figures (B,) are known."""
    seen = torch.tensor(counter.count(images))
    one = counts == 1
    return CounterError(
        pictures=len(counts),
        called_doubled=float((seen[one] > 1).float().mean()),
        missed=float((seen[~one] == 1).float().mean()),
    )


def _pictures(through: ThroughAutoencoder, seed: int, number: int) -> tuple[Tensor, Tensor]:
    pictures = [picture_of(seed, index) for index in range(number)]
    half = number // 2
    small = _rendered(pictures[:half], SIDE, through)
    large = halved(_rendered(pictures[half:], 2 * SIDE, through))
    counts = torch.tensor([len(picture.figures) for picture in pictures])
    return from_pixels(np.concatenate([small, large])), counts


def _rendered(pictures: Sequence[Picture], side: int, through: ThroughAutoencoder) -> Pixels:
    return np.stack(through([np.asarray(render(picture, side)) for picture in pictures]))
