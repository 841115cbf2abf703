"""Measuring in turns, since a machine is not equally fast from one minute to the next."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Figure = TypeVar("Figure")


def in_turns(
    names: Sequence[str], rounds: int, measure: Callable[[str], Figure]
) -> dict[str, list[Figure]]:
    """One figure for each name in each round, back and forth."""
    found: dict[str, list[Figure]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 else reversed(names):
            found[name].append(measure(name))
    return found
