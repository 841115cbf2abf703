"""When storyboards in flight will be done, and whether a new one can meet its deadline.

The denoiser's time is shared evenly between storyboards, so what is ahead of one is, of each
other, as much work as its own at most.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lafi.board.cost import Cost

_FORGETTING: Final = 0.8
_ERROR_RANGE: Final = (0.5, 8.0)
"""By how much a forecast is ever corrected."""


@dataclass(slots=True, eq=False)
class Job:
    """A storyboard in flight. left: megapixel steps; forecast: seconds, as it was accepted."""

    cost: Cost
    left: float
    began: float
    forecast: float | None


class Forecast:
    """Foretells seconds from costs; every method may be called by any thread."""

    def __init__(
        self,
        call_seconds: Callable[[float], float | None],
        full_call: float,
        clock: Callable[[], float],
    ) -> None:
        """call_seconds: of a denoiser call over so many megapixels; None: not known yet.

        full_call: megapixels of panels in a full call. clock: seconds.
        """
        self._call_seconds = call_seconds
        self._full = full_call
        self._clock = clock
        self._jobs: set[Job] = set()
        self._error = 1.0
        self._lock = threading.Lock()

    def seconds(self, cost: Cost) -> float | None:
        """Until a storyboard that came now would be done; None before anything was drawn."""
        with self._lock:
            ahead = sum(min(job.left, cost.megapixel_steps) for job in self._jobs)
            in_flight = len(self._jobs)
        full = self._call_seconds(self._full)
        each = cost.megapixel_steps / cost.longest
        alone = self._call_seconds(min(self._full, each * (1 + in_flight)))
        if full is None or alone is None:
            return None
        by_work = (ahead + cost.megapixel_steps) / self._full * full
        return self._error * max(by_work, cost.longest * alone)

    def left(self, job: Job) -> float | None:
        """Seconds until a storyboard in flight is done; None before anything was drawn."""
        with self._lock:
            ahead = sum(min(each.left, job.left) for each in self._jobs if each is not job)
        full = self._call_seconds(self._full)
        each = job.cost.megapixel_steps / job.cost.longest
        alone = self._call_seconds(min(self._full, each))
        if full is None or alone is None:
            return None
        longest = job.cost.longest * job.left / job.cost.megapixel_steps
        return self._error * max((ahead + job.left) / self._full * full, longest * alone)

    def work(self) -> float:
        """Seconds of all that is in flight; 0 before anything was drawn."""
        with self._lock:
            left = sum(job.left for job in self._jobs)
        return self._error * left / self._full * (self._call_seconds(self._full) or 0.0)

    def begin(self, cost: Cost) -> Job:
        """A storyboard is accepted."""
        job = Job(cost, cost.megapixel_steps, self._clock(), self.seconds(cost))
        with self._lock:
            self._jobs.add(job)
        return job

    def step(self, job: Job) -> None:
        """One step of one of its pictures is done."""
        job.left = max(0.0, job.left - job.cost.megapixel_steps / job.cost.steps)

    def end(self, job: Job, *, whole: bool) -> None:
        """It is done or given up.

        whole: it was drawn to its end, so that there is something to learn from it.
        """
        with self._lock:
            self._jobs.discard(job)
            if whole and job.forecast:
                took = (self._clock() - job.began) / (job.forecast / self._error)
                lowest, highest = _ERROR_RANGE
                error = _FORGETTING * self._error + (1 - _FORGETTING) * took
                self._error = min(highest, max(lowest, error))
