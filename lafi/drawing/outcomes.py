"""What became of panels and storyboards: seconds of each panel, deadlines missed, failures, scores.

Watches the events of every drawing.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from typing import Final

from lafi.wire.events import Event, Failed, Finished, PanelImage, Progress

BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0)
"""Upper ends in seconds; what took longer is in none of them."""


class Outcomes:
    """Counts since the start; every method may be called by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._counts: Counter[str] = Counter()

    def buckets(self) -> list[int]:
        """Drawn panels that took at most so long, for each of BUCKETS, and last all of them."""
        with self._lock:
            return [sum(self._buckets[: place + 1]) for place in range(len(self._buckets))]

    @property
    def seconds(self) -> float:
        """Of all drawn panels, each from its first step until it was handed over."""
        return self._seconds

    def count(self, what: str) -> int:
        """How many panels were drawn, kept (found in the store), failed or scored; retries of

        panels beyond the first drawing; storyboards that finished, and those that did so late.
        """
        return self._counts[what]

    def watch(self, events: Iterator[Event], deadline: float | None) -> Generator[Event]:
        """The same events, counted. deadline: seconds from now until they should have ended."""
        began = self._clock()
        first: dict[int, float] = {}
        with ExitStack() as stack:
            if isinstance(events, Generator):
                stack.enter_context(closing(events))
            for event in events:
                match event:
                    case Progress(panel=int(panel)):
                        first.setdefault(panel, self._clock())
                    case PanelImage():
                        self._panel(event, first.pop(event.panel, began))
                    case Failed():
                        self._add("failed")
                    case Finished():
                        self._add("finished")
                        if deadline is not None and self._clock() - began > deadline:
                            self._add("late")
                yield event

    def _panel(self, panel: PanelImage, began: float) -> None:
        with self._lock:
            self._counts["scored"] += bool(panel.scores)
            self._counts["retries"] += panel.attempts - 1
        if panel.kept:
            self._add("kept")
            return
        seconds = self._clock() - began
        with self._lock:
            self._buckets[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds
            self._counts["drawn"] += 1

    def _add(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1
