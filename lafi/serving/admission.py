"""Limits how many storyboards are in flight at once.

Triton Server's own queue limits do not count requests that a decoupled model has taken over, so
we count them here. The limit bounds memory, and clients of a busy server get their answer at once.
"""

from __future__ import annotations

import threading


class RefusedError(RuntimeError):
    """A storyboard is not admitted now; trying again later may succeed."""


class Admission:
    """Counts storyboards in flight (waiting or being drawn) and refuses those beyond a limit."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"max_storyboards: got {limit}, allowed: 1 or more")
        self.limit = limit
        self._lock = threading.Lock()
        self._in_flight = 0
        self._refused = 0

    @property
    def in_flight(self) -> int:
        """Storyboards that are admitted and not done."""
        return self._in_flight

    @property
    def refused(self) -> int:
        """Storyboards refused so far."""
        return self._refused

    def admit(self) -> None:
        """Admits one storyboard. Raises RefusedError if the limit is reached."""
        with self._lock:
            if self._in_flight >= self.limit:
                self._refused += 1
                raise RefusedError(
                    f"this server draws at most {self.limit} storyboards at a time and "
                    f"{self._in_flight} are in flight; try again later"
                )
            self._in_flight += 1

    def release(self) -> None:
        """Frees the place of an admitted storyboard."""
        with self._lock:
            if self._in_flight == 0:
                raise RuntimeError("a place was given back that was not taken")
            self._in_flight -= 1
