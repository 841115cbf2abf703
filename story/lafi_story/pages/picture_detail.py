"""Where a picture is full of detail, and where in it a figure begins: its head.

Finds no faces: a figure has more edges than what is behind it. What is beside it and as full, such
as trees, may be taken for it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lafi_story.pages.box import Box

_SIDE, _CELL = 64, 4
CELLS: Final = _SIDE // _CELL
"""Rows and columns of the detail."""
_FULL: Final = 0.7
"""Detail from which on a row of a figure's place belongs to the figure; the picture's mean is 1."""
_FIGURE: Final = 5
"""Rows that a figure has at least."""
_LOWEST: Final = 0.75
_HIGHEST: Final = 1 / CELLS
"""Where heads begin, as parts of the height: what is full from the top on says nothing."""
_HEAD: Final = 0.35
_SMALLEST: Final = 0.15
"""How high a head is: a part of the figure, and at least this part of the picture."""
_BODY: Final = 0.25
"""The part of a figure's place on each side in which it is not looked for."""


@dataclass(frozen=True, slots=True)
class PictureDetail:
    """How much there is to see in each cell, float (CELLS, CELLS), 1 on average; 0: nothing."""

    cells: NDArray[np.float64]

    def covered(self, body: Box, width: float, height: float) -> float:
        """The mean detail under a box, in pixels of a panel of this size."""
        columns = _shares(body.x0 / width, body.x1 / width)
        rows = _shares(body.y0 / height, body.y1 / height)
        return float(rows @ self.cells @ columns)

    def head(self, left: float, right: float) -> tuple[float, float] | None:
        """Top and end of the head of the figure between two parts of the width, 0 to 1.

        As parts of the height; None: nothing that stands out there.
        """
        margin = _BODY * (right - left)
        full = self.cells @ _shares(left + margin, right - margin) >= _FULL
        for top in range(CELLS):
            rest = full[top : top + _FIGURE]
            if len(rest) == _FIGURE and rest.all():
                break
        else:
            return None
        begins = top / CELLS
        if not _HIGHEST <= begins <= _LOWEST:
            return None
        ends = top + int(np.argmin(np.append(full[top:], False)))
        return begins, min(begins + max(_HEAD * (ends - top) / CELLS, _SMALLEST), 1.0)


def detail_of(image: Image.Image) -> PictureDetail:
    """Of an RGB picture of any size: how much colours change from pixel to pixel, at 64 px."""
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float64)
    across = np.abs(np.diff(pixels, axis=1, append=pixels[:, -1:])).sum(axis=2)
    down = np.abs(np.diff(pixels, axis=0, append=pixels[-1:])).sum(axis=2)
    cells = (across + down).reshape(CELLS, _CELL, CELLS, _CELL).mean(axis=(1, 3))
    mean = cells.mean()
    return PictureDetail(cells / mean if mean > 0 else cells)


def _shares(start: float, end: float) -> NDArray[np.float64]:
    """How much of [start, end], parts of a side, lies in each cell; they add up to 1."""
    edges = np.arange(CELLS + 1) / CELLS
    inside = np.clip(edges[1:], start, end) - np.clip(edges[:-1], start, end)
    whole = inside.sum()
    shares: NDArray[np.float64] = inside / whole if whole > 0 else np.full(CELLS, 1 / CELLS)
    return shares
