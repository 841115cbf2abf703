"""What a layout is given and what it gives: panels that are wanted, sheets, places on pages.

A panel keeps its picture whole, but for at most 1/8 of one side where it is made higher or lower so
that a page is full.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from lafi_story.pages.balloons import Order
from lafi_story.pages.box import Box

MOST_STRETCH: Final = 8 / 7
"""How much higher or lower than its picture a place may be made: 1/8 is cut away."""


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


def below_picture(picture: Box, height: float) -> Box | None:
    """The place under a picture, as wide as it; None for no height."""
    if height <= 0:
        return None
    return Box(picture.x0, picture.y1, picture.x1, picture.y1 + height)
