"""Cuts a long text into parts that a model reads at once, and shares panels out among them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

PART: Final = 6000
"""Characters of a part."""


def parts_of(lengths: Sequence[int], most: int = PART) -> tuple[range, ...]:
    """Ranges of paragraphs by their lengths: in order, each once, none empty.

    A part is as long as it can be without more than `most` characters; a longer paragraph is a
    part of its own.
    """
    found: list[range] = []
    start = size = 0
    for number, length in enumerate(lengths):
        if number > start and size + length > most:
            found.append(range(start, number))
            start, size = number, 0
        size += length
    return (*found, range(start, len(lengths))) if lengths else ()


def shared_out(count: int, weights: Sequence[int]) -> tuple[int, ...]:
    """`count` in whole numbers by weight: each at most 1 away from its exact share."""
    whole = sum(weights)
    if not whole:
        return tuple(0 for _ in weights)
    ends, total = [0], 0
    for weight in weights:
        total += weight
        ends.append((2 * count * total + whole) // (2 * whole))
    return tuple(after - before for before, after in pairwise(ends))
