"""Who goes next: a fair queue of parties whose items wait for a place.

A place goes to the party that holds the fewest, of those to the one that was served longest ago.
Knows neither panels nor rows.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Turn(Generic[T]):
    """A party's place in the queue.

    waiting: its items without a place. held: places that it has. served: when it got the last one.
    urgent_at: its deadline, once it must not wait any more if it is to meet it; infinite before.
    """

    waiting: deque[T]
    priority: int
    served: int
    held: int = 0
    urgent_at: float = math.inf

    @property
    def standing(self) -> tuple[int, float]:
        """Lower goes first, whatever it holds: by priority, then the urgent by their deadlines."""
        return (-self.priority, self.urgent_at)

    @property
    def rank(self) -> tuple[tuple[int, float], int, int]:
        """Lower goes first."""
        return (self.standing, self.held, self.served)


class Turns(Generic[T]):
    """The parties that wait, and how many places each party has.

    One place at a time is given away. A better standing goes first, and takes places from a lesser
    one (`richer`). An item that does not fit is not overtaken, so that one that needs much room
    gets it.
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
        turn: Turn[T] = Turn(deque(), priority, self._tick())
        self.extend(turn, items)
        return turn

    def extend(self, turn: Turn[T], items: Sequence[T]) -> None:
        """Let a party wait for more, behind what it waits for already; its turn stays its turn."""
        turn.waiting.extend(items)
        self._list(turn)

    def leave(self, turn: Turn[T]) -> None:
        """Forget what a party waits for and holds; nothing happens if it is forgotten already."""
        turn.waiting.clear()
        turn.held = 0
        if turn in self._turns:
            self._turns.remove(turn)

    def take(self, fits: Callable[[T], bool]) -> Iterator[tuple[Turn[T], T]]:
        """Items whose turn it is, until one does not fit; `fits` is asked before each."""
        while (turn := self.next) is not None and fits(turn.waiting[0]):
            item = turn.waiting.popleft()
            turn.served = self._tick()
            turn.held += 1
            if not turn.waiting:
                self._turns.remove(turn)
            yield turn, item

    def give_back(self, turn: Turn[T], unfinished: Sequence[T] = ()) -> None:
        """A party gives back a place; what it had there `unfinished` goes on with its next one."""
        turn.held -= 1
        turn.waiting.extendleft(reversed(unfinished))
        self._list(turn)

    @property
    def next(self) -> Turn[T] | None:
        """The party whose turn it is; None if nothing waits."""
        return min(self._turns, key=lambda turn: turn.rank, default=None)

    def richer(self, holders: Sequence[Turn[T]]) -> Turn[T] | None:
        """Of the parties that hold places the one that should give one to `next`; None: none.

        That is the one that would still hold as many as `next` afterwards, or one of a lesser
        standing, whatever it holds.
        """
        poor = self.next
        if poor is None or not holders:
            return None
        rich = max(holders, key=lambda turn: turn.rank)
        if rich.standing == poor.standing:
            return rich if rich.held > poor.held + 1 else None
        return rich if rich.standing > poor.standing else None

    def _list(self, turn: Turn[T]) -> None:
        if turn.waiting and turn not in self._turns:
            self._turns.append(turn)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
