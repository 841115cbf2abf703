"""How long to wait before a part that died is started again. Knows no clock of its own."""

from __future__ import annotations


class RestartDelay:
    """Short at first, longer each time; from the start again once a life was long enough."""

    def __init__(self, first: float = 0.5, longest: float = 30.0, healthy: float = 10.0) -> None:
        """Seconds: the first delay, the longest one, and a life that counts as a good one."""
        self._first = first
        self._longest = longest
        self._healthy = healthy
        self._next = first

    def after(self, life: float) -> float:
        """Seconds to wait after a life of so many seconds; 0 for one that never was ready."""
        if life >= self._healthy:
            self._next = self._first
        delay, self._next = self._next, min(2 * self._next, self._longest)
        return delay
