"""The drawn data set as arrays: pictures rendered once, captions drawn anew at every use."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lafi_tiny.caption import random_caption
from lafi_tiny.picture import KINDS, Picture, random_picture, render

CHUNK = 500


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Which pictures: index i of a seed is always the same picture."""

    seed: int = 0
    side: int = 64
    held_out: bool = False

    def picture(self, index: int) -> Picture:
        """Content of picture `index`; no pixels are drawn."""
        rng = np.random.default_rng([self.seed, index])
        kind = rng.choice(list(KINDS), p=list(KINDS.values()))
        return random_picture(rng, kind, side=self.side, held_out=self.held_out)

    def caption(self, index: int, rng: np.random.Generator) -> str:
        """A caption of picture `index`, worded by `rng`."""
        return random_caption(rng, self.picture(index))


def render_range(spec: DatasetSpec, start: int, stop: int) -> NDArray[np.uint8]:
    """Pictures start..stop as RGB uint8 (N, side, side, 3)."""
    return np.stack([np.asarray(render(spec.picture(i), spec.side)) for i in range(start, stop)])


def render_dataset(spec: DatasetSpec, count: int, folder: Path, workers: int = 2) -> Iterator[int]:
    """Fill `folder` with chunks of pictures that are not there yet; yields how many are done.

    Raises ValueError unless `count` is a multiple of CHUNK.
    """
    if count % CHUNK:
        raise ValueError(f"count: got {count}, allowed: a multiple of {CHUNK}")
    folder.mkdir(parents=True, exist_ok=True)
    starts = [s for s in range(0, count, CHUNK) if not chunk_path(folder, s).exists()]
    done = count - CHUNK * len(starts)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for start, pixels in zip(
            starts,
            pool.map(render_range, [spec] * len(starts), starts, [s + CHUNK for s in starts]),
            strict=True,
        ):
            partial = chunk_path(folder, start).with_suffix(".partial.npy")
            np.save(partial, pixels)
            partial.rename(chunk_path(folder, start))
            done += CHUNK
            yield done


def chunk_path(folder: Path, start: int) -> Path:
    """File of the pictures start .. start + CHUNK."""
    return folder / f"pictures_{start:07d}.npy"


def load_pictures(folder: Path) -> NDArray[np.uint8]:
    """All rendered chunks from index 0 on without a gap, RGB uint8 (N, side, side, 3)."""
    chunks: list[NDArray[np.uint8]] = []
    while chunk_path(folder, CHUNK * len(chunks)).exists():
        chunks.append(np.load(chunk_path(folder, CHUNK * len(chunks))))
    if not chunks:
        raise FileNotFoundError(f"no pictures in {folder}: run `python -m lafi_tiny data` first")
    return np.concatenate(chunks)
