"""One strip: a panel under another."""

from collections.abc import Sequence
from dataclasses import dataclass

from lafi_story.pages.balloons import Order
from lafi_story.pages.box import Box
from lafi_story.pages.layout import Cell, LaidOut, Sheet, Wanted, below_picture


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
            cells.append(Cell(number, picture, below_picture(picture, below)))
            y += height + below + sheet.gutter
        return [*found, LaidOut(y - sheet.gutter + sheet.margin, tuple(cells))]
