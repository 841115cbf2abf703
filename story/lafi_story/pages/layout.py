"""Where the panels lie on the pages: rows of a grid, or one strip.

A panel keeps its picture whole, but for at most 1/8 of one side where a row is made higher or lower
so that a page is full.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from lafi_story.pages.balloons import Order
from lafi_story.pages.box import Box

_MOST_IN_ROW: Final = 3
_MOST_ON_PAGE: Final = 9
_USUAL_ON_PAGE: Final = 6
MOST_STRETCH: Final = 8 / 7
"""How much higher or lower than its picture a place may be made: 1/8 is cut away."""
_EMPTY, _CUT = 6.0, 8.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page in pixels. sizes: of the font, the largest first. dpi: pixels of an inch."""

    width: int
    height: int
    margin: int
    gutter: int
    sizes: tuple[int, ...]
    dpi: int = 150


SHEETS: Final = {
    "a4": Sheet(1240, 1754, 60, 18, (23, 21, 19, 17, 15)),
    "a5": Sheet(874, 1240, 44, 14, (21, 19, 17, 15)),
    "b5": Sheet(1039, 1476, 50, 16, (22, 20, 18, 16)),
    "letter": Sheet(1275, 1650, 60, 18, (23, 21, 19, 17, 15)),
}
STRIP: Final = Sheet(800, 12_000, 20, 40, (30, 27, 24, 21), 96)
"""Of a webtoon: `height` is the most of one file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A panel to be laid out. aspect: width by height of its picture. weight: 1 is usual.

    below: the height of what stands under it, at a width, both in pixels.
    """

    aspect: float
    weight: float = 1.0
    below: Callable[[float], float] = lambda width: 0.0


@dataclass(frozen=True, slots=True)
class Cell:
    """The place of a panel on a page, and of what stands under it."""

    panel: int
    picture: Box
    below: Box | None = None


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A page: its height in pixels, and its panels in reading order."""

    height: float
    cells: tuple[Cell, ...]


class Layout(Protocol):
    """A way to lay out panels."""

    @property
    def sheet(self) -> Sheet:
        """Size and margins of a page."""
        ...

    @property
    def order(self) -> Order:
        """The direction of reading."""
        ...

    def pages(self, panels: Sequence[Wanted]) -> list[LaidOut]:
        """All panels in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Webtoon:
    """One panel under another; cut between two panels where a file would be too long."""

    sheet: Sheet
    order: Order

    def pages(self, panels: Sequence[Wanted]) -> list[LaidOut]:
        """As of `Layout`."""
        sheet = self.sheet
        width = sheet.width - 2 * sheet.margin
        found: list[LaidOut] = []
        cells: list[Cell] = []
        y = float(sheet.margin)
        for number, panel in enumerate(panels):
            height, below = width / panel.aspect, panel.below(width)
            if cells and y + height + below + sheet.margin > sheet.height:
                found.append(LaidOut(y - sheet.gutter + sheet.margin, tuple(cells)))
                cells, y = [], float(sheet.margin)
            picture = Box(sheet.margin, y, sheet.margin + width, y + height)
            cells.append(Cell(number, picture, _under(picture, below)))
            y += height + below + sheet.gutter
        return [*found, LaidOut(y - sheet.gutter + sheet.margin, tuple(cells))]


@dataclass(frozen=True, slots=True)
class _Rows:
    """One page's rows: numbers of panels, natural height of pictures and of what is below."""

    rows: tuple[range, ...]
    heights: tuple[float, ...]
    belows: tuple[float, ...]
    stretch: float
    cost: float


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of one to three panels, each row as wide as the page; the best by dynamic programming.

    Wanted are full pages, few cuts, and for each panel the area that its weight gives it.
    """

    sheet: Sheet
    order: Order

    def pages(self, panels: Sequence[Wanted]) -> list[LaidOut]:
        """As of `Layout`."""
        costs, froms = [0.0], [0]
        kept: list[_Rows | None] = [None]
        for end in range(1, len(panels) + 1):
            cost, start, rows = min(
                (
                    (costs[start] + page.cost, start, page)
                    for start in range(max(0, end - _MOST_ON_PAGE), end)
                    if (page := self._page(panels, start, end)) is not None
                ),
                key=lambda choice: choice[0],
            )
            costs.append(cost)
            froms.append(start)
            kept.append(rows)
        found, end = [], len(panels)
        while end:
            rows_of = kept[end]
            assert rows_of is not None
            found.append(self._laid_out(panels, rows_of))
            end = froms[end]
        return found[::-1]

    @property
    def _inner(self) -> tuple[float, float]:
        sheet = self.sheet
        return sheet.width - 2 * sheet.margin, sheet.height - 2 * sheet.margin

    def _page(self, panels: Sequence[Wanted], start: int, end: int) -> _Rows | None:
        """The best way to lay these panels on one page; None: they do not fit."""
        pages = (self._measured(panels, rows) for rows in _partitions(start, end))
        fit = [page for page in pages if page is not None]
        return min(fit, key=lambda page: page.cost, default=None)

    def _measured(self, panels: Sequence[Wanted], rows: tuple[range, ...]) -> _Rows | None:
        width, height = self._inner
        heights, belows = [], []
        for row in rows:
            natural = (width - self.sheet.gutter * (len(row) - 1)) / sum(
                panels[number].aspect for number in row
            )
            heights.append(natural)
            belows.append(max(panels[n].below(natural * panels[n].aspect) for n in row))
        room = height - self.sheet.gutter * (len(rows) - 1) - sum(belows)
        stretch = room / sum(heights)
        alone = len(rows) == 1 and len(rows[0]) == 1
        if stretch < 1 / MOST_STRETCH and not (alone and room > 0):
            return None
        last = rows[-1].stop == len(panels)
        empty = 0.0
        if stretch > MOST_STRETCH:
            empty, stretch = (1 - 1 / stretch) * (0.3 if last else 1), 1.0
        usual = width * height / _USUAL_ON_PAGE
        cost = _EMPTY * empty + _CUT * abs(math.log(stretch))
        for row, natural in zip(rows, heights, strict=True):
            for number in row:
                area = natural * natural * panels[number].aspect
                cost += math.log(area / usual / panels[number].weight) ** 2
        return _Rows(rows, tuple(heights), tuple(belows), stretch, cost)

    def _laid_out(self, panels: Sequence[Wanted], page: _Rows) -> LaidOut:
        sheet, stretch = self.sheet, page.stretch
        width, x0 = self._inner[0], float(sheet.margin)
        cells, y = [], float(sheet.margin)
        shrunk = (
            stretch if stretch < 1 / MOST_STRETCH else 1.0
        )  # a panel that is alone and too high
        for row, natural, below in zip(page.rows, page.heights, page.belows, strict=True):
            x = x0 + (width - width * shrunk) / 2
            height = natural * stretch
            for number in row:
                wide = natural * panels[number].aspect * shrunk
                left = x if self.order == "ltr" else sheet.width - x - wide
                picture = Box(left, y, left + wide, y + height)
                under = picture if shrunk == 1 else Box(x0, y, x0 + width, y + height)
                cells.append(
                    Cell(number, picture, _under(under, panels[number].below(under.width)))
                )
                x += wide + sheet.gutter
            y += height + below + sheet.gutter
        return LaidOut(sheet.height, tuple(cells))


def _partitions(start: int, end: int) -> Iterator[tuple[range, ...]]:
    """All ways to cut panels into rows of at most three."""
    for cuts in itertools.product((True, False), repeat=end - start - 1):
        borders = [start, *(start + at + 1 for at, cut in enumerate(cuts) if cut), end]
        rows = tuple(itertools.starmap(range, itertools.pairwise(borders)))
        if max(map(len, rows)) <= _MOST_IN_ROW:
            yield rows


def _under(picture: Box, height: float) -> Box | None:
    if height <= 0:
        return None
    return Box(picture.x0, picture.y1, picture.x1, picture.y1 + height)
