"""Who is there in each paragraph: who acts or speaks, and who has not left between two such."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

_GAP: Final = 4
"""Paragraphs between two deeds of somebody in one scene, in which they have not left."""


def who_is_there(
    present: Sequence[Sequence[str]],
    strong: Sequence[frozenset[str]],
    talk: Sequence[Sequence[str]],
    borders: frozenset[int],
) -> list[list[str]]:
    """For each paragraph who is there.

    present: who is named there; strong: who of them acts, speaks or is called there, and is not
    only somebody's, as in `Tim's book`; talk: who speaks there; borders: where scenes begin.
    """
    found: list[list[str]] = []
    for scene in _scenes(len(present), borders):
        own = {name for number in scene for name in strong[number]}
        stay = [[name for name in present[number] if name in own] for number in scene]
        for name in sorted(own):
            there = [place for place, number in enumerate(scene) if name in strong[number]]
            for one, other in pairwise(there):
                if other - one <= _GAP:
                    for place in range(one + 1, other):
                        stay[place].append(name)
        for place, number in enumerate(scene):
            if talk[number]:
                for near in (place - 1, place + 1):
                    if 0 <= near < len(scene):
                        stay[place].extend(talk[scene[near]])
        found += [list(dict.fromkeys(names)) for names in stay]
    return found


def _scenes(count: int, borders: frozenset[int]) -> Iterator[range]:
    starts = sorted({0, *(number for number in borders if 0 < number < count)})
    for first, following in pairwise([*starts, count]):
        yield range(first, following)
