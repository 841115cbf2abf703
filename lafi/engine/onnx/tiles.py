"""Cuts a large picture into overlapping tiles, and says which part of each result counts.

Knows sizes, no pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

CORE = 256
"""Pixels along a side that a tile adds to the result, at least."""


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis: read from `start` to `stop`, kept from `first` to `last`."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def read(self) -> slice:
        """What of the picture the tile holds."""
        return slice(self.start, self.stop)

    @property
    def kept(self) -> slice:
        """What of the picture it decides."""
        return slice(self.first, self.last)

    @property
    def inside(self) -> slice:
        """The kept part, counted from the beginning of the tile."""
        return slice(self.first - self.start, self.last - self.start)


def core_side(reach: int) -> int:
    """Pixels of the core of a tile; with a wide overlap it is larger, or most work were wasted."""
    return max(CORE, reach)


def tile_side(reach: int) -> int:
    """The largest side of a tile in pixels. A picture within it is not cut."""
    return core_side(reach) + 2 * reach


def spans(side: int, reach: int) -> tuple[Span, ...]:
    """The tiles along an axis of `side` pixels.

    What is kept lies at least `reach` pixels from every cut. So if no output pixel depends on input
    further away than that, every kept pixel is as if the picture had not been cut.
    """
    if side <= tile_side(reach):
        return (Span(0, side, 0, side),)
    count = -(-side // core_side(reach))
    edges = [side * place // count for place in range(count + 1)]
    return tuple(
        Span(max(0, first - reach), min(side, last + reach), first, last)
        for first, last in pairwise(edges)
    )


def tiles(height: int, width: int, reach: int) -> Iterator[tuple[Span, Span]]:
    """Rows and columns of every tile of a picture."""
    return product(spans(height, reach), spans(width, reach))
