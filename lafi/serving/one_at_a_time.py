"""Lets computations that each use all cores wait for one another.

Two at once take longer than one after the other: each is cut into hundreds of pieces that want
all of its threads at the same time, and those that have a core spin for those that have none.
Knows no engine.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Turns(Protocol):
    """Wraps computations, so that they wait for one another or do not."""

    def __call__(self, compute: Callable[Given, Result]) -> Callable[Given, Result]:
        """The same computation, when it may begin."""


def at_once(compute: Callable[Given, Result]) -> Callable[Given, Result]:
    """`Turns` that are none."""
    return compute


class OneAtATime:
    """`Turns`, first come first served.

    A computation that has its turn must not begin another one of the same turns.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @property
    def waiting(self) -> int:
        """Computations that have not begun."""
        return max(0, len(self._waiting) - 1)

    def __call__(self, compute: Callable[Given, Result]) -> Callable[Given, Result]:
        """The same computation, which waits for its turn; from any thread."""

        def computed(*args: Given.args, **named: Given.kwargs) -> Result:
            turn = object()
            with self._changed:
                self._waiting.append(turn)
                self._changed.wait_for(lambda: self._waiting[0] is turn)
            try:
                return compute(*args, **named)
            finally:
                with self._changed:
                    self._waiting.popleft()
                    self._changed.notify_all()

        return computed
