"""Who goes next: a fair queue of parties whose items wait for a place.

Round robin between parties of one priority: the party that was served longest ago is next, and is
served as many items in a row as there is room for. Knows neither panels nor rows.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Turn(Generic[T]):
    """A party's place in the queue: items that wait, and when it was served last."""

    waiting: deque[T]
    priority: int
    served: int


class Turns(Generic[T]):
    """The parties that wait.

    A party waits until every party of its priority that came before it was served once, and
    every party of a higher priority wholly. An item that does not fit is not overtaken, so that
    one that needs much room gets it.
    """

    def __init__(self) -> None:
        self._turns: list[Turn[T]] = []
        self._clock = 0

    @property
    def waiting(self) -> int:
        """Items of all parties."""
        return sum(len(turn.waiting) for turn in self._turns)

    def join(self, items: Sequence[T], priority: int = 0) -> Turn[T]:
        """Add a party behind all others of its priority (a higher number goes first)."""
        turn = Turn(deque(items), priority, self._tick())
        self._turns.append(turn)
        return turn

    def extend(self, turn: Turn[T], items: Sequence[T]) -> None:
        """Let a party wait for more, behind what it waits for already; its turn stays its turn."""
        turn.waiting.extend(items)
        if turn.waiting and turn not in self._turns:
            self._turns.append(turn)

    def leave(self, turn: Turn[T]) -> None:
        """Forget what a party still waits for; nothing happens if it waits for nothing."""
        turn.waiting.clear()
        if turn in self._turns:
            self._turns.remove(turn)

    def take(self, fits: Callable[[T], bool]) -> Iterator[tuple[Turn[T], T]]:
        """Items whose turn it is, until one does not fit; `fits` is asked before each."""
        for turn in sorted(self._turns, key=lambda turn: (-turn.priority, turn.served)):
            while turn.waiting:
                if not fits(turn.waiting[0]):
                    return
                turn.served = self._tick()
                yield turn, turn.waiting.popleft()
            self._turns.remove(turn)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
