"""A sheet of the data set's own pictures."""

from pathlib import Path

import numpy as np

from lafi_tiny.hand.picture import random_picture, render
from lafi_tiny.training import save_grid


def draw_sheet(out: Path, kinds: tuple[str, ...], count: int, seed: int, side: int) -> None:
    """Write `count` pictures of these kinds in turn as one PNG."""
    pictures = [
        random_picture(np.random.default_rng([seed, i]), kinds[i % len(kinds)])
        for i in range(count)
    ]
    save_grid(np.stack([np.asarray(render(p, side)) for p in pictures]), out, zoom=1)
