"""One row of a page: panels side by side, or above one another in the columns of the row.

Knows widths and heights, not where on a page the row lies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lafi_story.pages.layout import Wanted

_ROUNDS: Final = 16
"""The text below a panel depends on its width, and the width on the text of those above it."""
_SETTLED: Final = 0.01
"""How far from whole pictures may be after these rounds; what does not settle is no row."""


@dataclass(frozen=True, slots=True)
class Column:
    """Panels above one another, all equally wide, in pixels.

    pictures: the sum of their heights at which nothing is cut away. between: of the gutters between
    them, and of the text under all but the last. below: of the text under the last.
    """

    panels: range
    width: float
    pictures: float
    between: float
    below: float

    def stretch(self, height: float) -> float:
        """How much higher than whole its pictures are where the column ends at `height`."""
        return (height - self.between) / self.pictures


@dataclass(frozen=True, slots=True)
class Areas:
    """How large panels are for what they weigh, as sums of logarithms of area by weight."""

    count: int
    total: float
    squares: float
    weight: float
    """The sum of the weights."""

    def __add__(self, other: Areas) -> Areas:
        """Of the panels of both."""
        return Areas(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            self.weight + other.weight,
        )

    def off(self, usual: float) -> float:
        """The sum of the squared logarithms of what areas should be, by what they are.

        usual: the area of a panel of weight 1.
        """
        middle = math.log(usual)
        return self.squares - 2 * middle * self.total + self.count * middle * middle


@dataclass(frozen=True, slots=True)
class Row:
    """Columns whose last pictures end at the same height.

    height: down to there, with whole pictures. below: of the text under that.
    """

    columns: tuple[Column, ...]
    height: float
    below: float
    areas: Areas

    @property
    def fixed(self) -> float:
        """What of the height stays where pictures are stretched."""
        return max(column.between for column in self.columns)

    def stretched(self, by: float) -> float:
        """The height where pictures are higher `by` this; no column is stretched by more."""
        return self.fixed + by * (self.height - self.fixed)


@dataclass(frozen=True, slots=True)
class RowRules:
    """What a row may be. width, gutter: in pixels; most: panels.

    stacked: the most panels above one another in a column; 1: side by side alone.
    """

    width: float
    gutter: float
    most: int
    columns: int
    stacked: int

    def rows(self, panels: Sequence[Wanted], start: int, end: int) -> list[Row]:
        """All rows of these panels, in their order."""
        divided = _divided(start, end, self.columns, self.stacked)
        return [row for columns in divided if (row := self._row(panels, columns)) is not None]

    def _row(self, panels: Sequence[Wanted], columns: Sequence[range]) -> Row | None:
        """None: a column would have no width, or no width for its texts."""
        slopes = [sum(1 / panels[n].aspect for n in column) for column in columns]
        gutters = [self.gutter * (len(column) - 1) for column in columns]
        between = gutters
        inner = self.width - self.gutter * (len(columns) - 1)
        height, widths = 0.0, [0.0 for _ in columns]
        for _ in range(_ROUNDS):
            # Each column is `between` and `slope` times its width high; the widths fill the row.
            given = [*zip(between, slopes, strict=True)]
            spare = sum(fixed / slope for fixed, slope in given)
            height = (inner + spare) / sum(1 / slope for slope in slopes)
            widths = [(height - fixed) / slope for fixed, slope in given]
            if min(widths) <= 0:
                return None
            if max(map(len, columns)) == 1:
                break
            between = [
                fixed + sum(panels[n].below(width) for n in column[:-1])
                for fixed, column, width in zip(gutters, columns, widths, strict=True)
            ]
        made = tuple(
            Column(column, width, width * slope, fixed, panels[column[-1]].below(width))
            for column, width, slope, fixed in zip(columns, widths, slopes, between, strict=True)
        )
        if any(abs(column.stretch(height) - 1) > _SETTLED for column in made):
            return None
        return Row(made, height, max(column.below for column in made), _areas(panels, made))


def _areas(panels: Sequence[Wanted], columns: Sequence[Column]) -> Areas:
    found = Areas(0, 0.0, 0.0, 0.0)
    for column in columns:
        for panel in (panels[n] for n in column.panels):
            given = math.log(column.width**2 / panel.aspect / panel.weight)
            found += Areas(1, given, given * given, panel.weight)
    return found


def _divided(start: int, end: int, most: int, stacked: int) -> Iterator[tuple[range, ...]]:
    """All ways to cut panels into at most so many columns of at most so many panels.

    At most one column has several: two such beside each other would look like two rows, and be
    read as these. One that is alone would be rows of its own.
    """
    for cuts in itertools.product((True, False), repeat=end - start - 1):
        borders = [start, *(start + at + 1 for at, cut in enumerate(cuts) if cut), end]
        columns = tuple(itertools.starmap(range, itertools.pairwise(borders)))
        tall = [column for column in columns if len(column) > 1]
        if len(columns) > most or len(tall) > 1 or (tall and len(columns) == 1):
            continue
        if max(map(len, columns)) <= stacked:
            yield columns
