"""Pages of rows: a grid, or free pages, in whose rows panels also stand above one another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lafi_story.pages.balloons import Order
from lafi_story.pages.box import Box
from lafi_story.pages.layout import MOST_STRETCH, Cell, LaidOut, Sheet, Wanted, below_picture
from lafi_story.pages.rows import Row, RowRules

_MOST_ON_PAGE: Final = 9
_USUAL_ON_PAGE: Final = 6
_COLUMNS: Final = 3
_CUT: Final = 8.0
_KEPT: Final = 3
"""Of the rows of the same panels, those with the best areas, no two of one height."""
_ROUNDING: Final = 1e-6
_LEAST, _MOST = 1 / MOST_STRETCH - _ROUNDING, MOST_STRETCH + _ROUNDING


@dataclass(frozen=True, slots=True)
class Aims:
    """What makes a page a good one.

    stacked: the most panels above one another in a column; they are read from top to bottom, and
    then the next column is. contrast: the power of weights. empty: the cost of a page that is left
    empty. shared: whether a page's area is shared out by weight, else each panel has the usual one.
    """

    stacked: int
    contrast: float
    empty: float
    shared: bool


PLAIN: Final = Aims(stacked=1, contrast=1.0, empty=6.0, shared=False)
"""Of a grid."""
FREE: Final = Aims(stacked=3, contrast=1.6, empty=30.0, shared=True)
"""Small panels above one another beside a large one."""


@dataclass(frozen=True, slots=True)
class _Page:
    """stretch: of the pictures' heights, so that the page is full."""

    rows: tuple[Row, ...]
    stretch: float
    cost: float

    @property
    def start(self) -> int:
        """Its first panel."""
        return self.rows[0].columns[0].panels[0]


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of one to three columns, each row as wide as the page; the best by dynamic programming.

    Wanted are full pages, few cuts, and for each panel the area that its weight gives it.
    """

    sheet: Sheet
    order: Order
    aims: Aims = PLAIN

    def pages(self, panels: Sequence[Wanted]) -> list[LaidOut]:
        """As of `Layout`."""
        panels = [replace(panel, weight=panel.weight**self.aims.contrast) for panel in panels]
        rows = self._rows(panels)
        costs = [0.0]
        kept: list[_Page] = []
        for end in range(1, len(panels) + 1):
            choices = (
                (costs[start] + page.cost, page)
                for start in range(max(0, end - _MOST_ON_PAGE), end)
                if (page := self._page(rows, start, end, last=end == len(panels))) is not None
            )
            cost, page = min(choices, key=lambda choice: choice[0])
            costs.append(cost)
            kept.append(page)
        found, end = [], len(panels)
        while end:
            page = kept[end - 1]
            found.append(self._laid_out(panels, page))
            end = page.start
        return found[::-1]

    @property
    def _inner(self) -> tuple[float, float]:
        sheet = self.sheet
        return sheet.width - 2 * sheet.margin, sheet.height - 2 * sheet.margin

    @property
    def _usual(self) -> float:
        width, height = self._inner
        return width * height / _USUAL_ON_PAGE

    def _rows(self, panels: Sequence[Wanted]) -> dict[tuple[int, int], list[Row]]:
        """The best rows of each run of panels."""
        most = _COLUMNS + self.aims.stacked - 1
        rules = RowRules(self._inner[0], self.sheet.gutter, most, _COLUMNS, self.aims.stacked)
        return {
            (start, end): self._best(rules.rows(panels, start, end))
            for start in range(len(panels))
            for end in range(start + 1, min(start + rules.most, len(panels)) + 1)
        }

    def _best(self, rows: list[Row]) -> list[Row]:
        found: dict[float, Row] = {}
        for row in sorted(rows, key=lambda row: row.areas.off(self._usual)):
            found.setdefault(round(row.height, 3), row)
        return [*found.values()][:_KEPT]

    def _page(
        self, rows: dict[tuple[int, int], list[Row]], start: int, end: int, *, last: bool
    ) -> _Page | None:
        """The best way to lay these panels on one page; None: they do not fit."""
        room = math.inf if end - start == 1 else self._inner[1]
        chosen = _chosen_rows(rows, (start, end), room, self.sheet.gutter)
        pages = (self._measured(each, last=last) for each in chosen)
        fit = [page for page in pages if page is not None]
        return min(fit, key=lambda page: page.cost, default=None)

    def _measured(self, rows: tuple[Row, ...], *, last: bool) -> _Page | None:
        fixed = sum(row.fixed + row.below for row in rows)
        room = self._inner[1] - self.sheet.gutter * (len(rows) - 1) - fixed
        stretch = room / sum(row.height - row.fixed for row in rows)
        alone = sum(row.areas.count for row in rows) == 1
        if stretch < 1 / MOST_STRETCH and not (alone and room > 0):
            return None
        empty = 0.0
        if stretch > MOST_STRETCH:
            empty, stretch = (1 - 1 / stretch) * (0.3 if last else 1), 1.0
        if not alone and not all(_keeps_pictures(row, stretch) for row in rows):
            return None
        cost = self.aims.empty * empty + _CUT * abs(math.log(stretch)) + self._areas_cost(rows)
        return _Page(rows, stretch, cost)

    def _areas_cost(self, rows: Sequence[Row]) -> float:
        areas = sum((row.areas for row in rows[1:]), rows[0].areas)
        if not self.aims.shared:
            return areas.off(self._usual)
        width, height = self._inner
        crowded = math.log(areas.count / _USUAL_ON_PAGE)
        return areas.off(width * height / areas.weight) + areas.count * crowded * crowded

    def _laid_out(self, panels: Sequence[Wanted], page: _Page) -> LaidOut:
        sheet, width = self.sheet, self._inner[0]
        # A panel that is alone and too high stays whole.
        shrunk = page.stretch if page.stretch < 1 / MOST_STRETCH else 1.0
        cells, y = [], float(sheet.margin)
        for row in page.rows:
            height = row.stretched(page.stretch)
            x = (width - width * shrunk) / 2
            for column in row.columns:
                wide, top = column.width * shrunk, y
                by = column.stretch(height)
                left = sheet.margin + x
                if self.order == "rtl":
                    left = sheet.width - left - wide
                for number in column.panels:
                    low = top + by * column.width / panels[number].aspect
                    picture = Box(left, top, left + wide, low)
                    under = picture
                    if shrunk != 1:
                        under = picture._replace(x0=sheet.margin, x1=sheet.margin + width)
                    below = panels[number].below(under.width)
                    cells.append(Cell(number, picture, below_picture(under, below)))
                    top = low + below + sheet.gutter
                x += wide + sheet.gutter
            y += height + row.below + sheet.gutter
        return LaidOut(sheet.height, tuple(cells))


def _chosen_rows(
    rows: dict[tuple[int, int], list[Row]], run: tuple[int, int], room: float, gutter: float
) -> Iterator[tuple[Row, ...]]:
    """All ways to cover a run of panels with these rows that may fit into `room`."""
    start, end = run
    if start == end:
        yield ()
        return
    for at in range(start + 1, end + 1):
        for row in rows.get((start, at), ()):
            left = room - row.stretched(1 / MOST_STRETCH) - row.below
            if left >= -_ROUNDING:
                for others in _chosen_rows(rows, (at, end), left - gutter, gutter):
                    yield (row, *others)


def _keeps_pictures(row: Row, stretch: float) -> bool:
    """Whether no picture of a row loses more than it may where the page is stretched so."""
    stretches = [column.stretch(row.stretched(stretch)) for column in row.columns]
    return min(stretches) >= _LEAST and max(stretches) <= _MOST
