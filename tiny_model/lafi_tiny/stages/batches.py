"""Batches for the denoiser: latents, captions, noise levels, and what each side shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lafi_tiny.hand.caption import random_caption
from lafi_tiny.hand.picture import Picture
from lafi_tiny.stages.latent_store import LatentStore
from lafi_tiny.stages.noise import NoiseModel
from lafi_tiny.stages.reader_targets import Targets
from lafi_tiny.stages.samples import picture_of

SAME_TWICE: Final = ("twins", "strip")
"""The kinds of pictures that show one character twice."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch; `fresh` (B, 1, 1, w) is 1 where the loss counts, 0 in a given half.

    `named` are the rows of pictures with one or two figures, and `targets` what their left and
    right sides show: first all left sides, then all right ones.
    """

    latents: Tensor
    token_ids: Tensor
    timesteps: Tensor
    given_timesteps: Tensor
    fresh: Tensor
    named: Tensor
    targets: Targets


class Batches:
    """Draws batches from a store; shares are of the rows.

    token_ids: of captions, a row each.
    redrawn: the chance that a picture that does not show one character twice is exchanged for
    another one, so that those which do come more often: 0.8 makes 54% of 36%.
    """

    def __init__(
        self,
        store: LatentStore,
        token_ids: Callable[[list[str]], Tensor],
        noise: NoiseModel,
        rng: np.random.Generator,
        *,
        size: int,
        empty_captions: float,
        inpainted: float,
        redrawn: float = 0.0,
    ) -> None:
        self.store, self.token_ids, self.noise = store, token_ids, noise
        self.rng, self.size = rng, size
        self.empty_captions, self.inpainted = empty_captions, inpainted
        self.redrawn = redrawn

    def draw(self) -> Batch:
        """The next batch."""
        size, rng = self.size, self.rng
        indices, pictures = self._pictures()
        captions = [random_caption(rng, picture) for picture in pictures]
        empty = rng.random(size) < self.empty_captions
        captions = ["" if e else c for e, c in zip(empty, captions, strict=True)]
        timesteps = self.noise.random_timesteps(rng, size)
        latents = self.store.batch(indices)
        named, targets = sides(pictures)
        return Batch(
            latents=latents,
            token_ids=self.token_ids(captions),
            timesteps=torch.from_numpy(timesteps),
            given_timesteps=torch.from_numpy(_given_timesteps(rng, timesteps)),
            fresh=self._fresh(pictures, latents.shape[-1]),
            named=named,
            targets=targets,
        )

    def _pictures(self) -> tuple[NDArray[np.int64], list[Picture]]:
        indices = self.rng.integers(len(self.store), size=self.size)
        pictures = [picture_of(self.store.seed, int(i)) for i in indices]
        if self.redrawn:
            for row, picture in enumerate(pictures):
                if picture.kind not in SAME_TWICE and self.rng.random() < self.redrawn:
                    indices[row] = self.rng.integers(len(self.store))
                    pictures[row] = picture_of(self.store.seed, int(indices[row]))
        return indices, pictures

    def _fresh(self, pictures: list[Picture], width: int) -> Tensor:
        """(B, 1, 1, w): one half is given in most pictures that show two figures."""
        size, rng = len(pictures), self.rng
        double = np.array([len(picture.figures) == 2 for picture in pictures])
        inpainted = double & (rng.random(size) < self.inpainted)
        left = rng.random(size) < 0.5
        in_left = np.arange(width) < width // 2
        fresh = np.where(inpainted[:, None], in_left[None, :] == left[:, None], True)
        return torch.from_numpy(fresh.astype(np.float32))[:, None, None, :]


def _given_timesteps(rng: np.random.Generator, timesteps: NDArray[Any]) -> NDArray[Any]:
    """How noisy a given half is (B,): clean or anything less noisy than the rest."""
    size, clean = len(timesteps), np.zeros_like(timesteps)
    return np.where(
        rng.random(size) < 0.5, clean, (timesteps * rng.random(size)).astype(timesteps.dtype)
    )


def sides(pictures: list[Picture]) -> tuple[Tensor, Targets]:
    """Rows with one or two figures, and what their left sides, then their right sides show."""
    rows = [i for i, picture in enumerate(pictures) if len(picture.figures) <= 2]
    targets = Targets()
    for side in (0, 1):
        for row in rows:
            picture = pictures[row]
            targets.add(picture, side if len(picture.figures) == 2 else 0)
    return torch.tensor(rows, dtype=torch.int64), targets
