"""Time to a storyboard's first panel by the number of storyboards ahead of it."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.load.line_fit import bend, fit_line, worst_against_proportional
from benchmarks.load.percentile import percentile
from benchmarks.load.query import Query, ask, must_be_drawn
from benchmarks.throughput.workload import PUBLISHED, Workload, storyboards
from lafi.board.storyboard import Storyboard
from lafi.server.supervisor import Supervisor
from lafi.wire.events import Accepted, Event
from lafi_client import StoryboardClient

ACCEPT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Queues:
    """What is measured: `repeats` times for each of `ahead`, of storyboards of `panels` each.

    All have the same size. The server must admit one more storyboard than the most that are
    ahead.
    """

    ahead: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    panels: tuple[int, ...] = (1, 4)
    repeats: int = 8
    steps: int = 6
    side: int = 128

    @property
    def places(self) -> int:
        """The most storyboards in flight, plus one whose place is not free again yet."""
        return max(self.ahead) + 4


QUICK = Queues(ahead=(0, 1, 2), panels=(1,), repeats=2, steps=2, side=32)


def measure_queues(
    server: Supervisor, what: Queues, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """For each number of panels: the seconds of every depth, and how their p99 grows."""
    rows = []
    with StoryboardClient(server.grpc_url) as client:
        for panels in what.panels:
            boards = storyboards(
                Workload(max(what.ahead) + 1, panels, 1, what.steps, side=what.side), PUBLISHED
            )
            wait_behind(client, boards[1:3], boards[0])
            # The depths take turns, so that a busy machine slows all of them equally.
            seconds: dict[int, list[float]] = {depth: [] for depth in what.ahead}
            for turn in range(what.repeats):
                for depth in what.ahead:
                    query = wait_behind(client, boards[1 : depth + 1], boards[0])
                    seconds[depth].append(query.panels[0])
                tell(f"{panels} panels, turn {turn + 1}: {_latest(seconds)}")
            rows.append({"panels": panels, "steps": what.steps, **growth_with_queue(seconds)})
    return rows


def wait_behind(client: StoryboardClient, ahead: Sequence[Storyboard], board: Storyboard) -> Query:
    """Requests `board` once all of `ahead` are accepted, and draws all; returns its query.

    Raises RuntimeError if one was not accepted in time, or not drawn.
    """
    accepted = threading.Semaphore(0)

    def heard(event: Event) -> None:
        if isinstance(event, Accepted):
            accepted.release()

    with ThreadPoolExecutor(len(ahead) + 1) as threads:
        others = [threads.submit(ask, client, other, heard) for other in ahead]
        for number in range(len(ahead)):
            if not accepted.acquire(timeout=ACCEPT_SECONDS):
                raise RuntimeError(f"only {number} of {len(ahead)} storyboards were accepted")
        query = must_be_drawn(ask(client, board))
        for other in others:
            must_be_drawn(other.result())
    return query


def growth_with_queue(seconds: dict[int, list[float]]) -> dict[str, Any]:
    """p50 and p99 of each depth, and how p99 grows with it.

    seconds_per_storyboard: slope of the line through p99, with its standard error. bend: see
    `line_fit.bend`. worst_against_proportional: see there; needs a depth of 0.
    """
    ahead = sorted(seconds)
    p99 = [percentile(seconds[depth], 99) for depth in ahead]
    line = fit_line(ahead, p99)
    return {
        "ahead": ahead,
        "samples": [len(seconds[depth]) for depth in ahead],
        "first_panel_p50": [percentile(seconds[depth], 50) for depth in ahead],
        "first_panel_p99": p99,
        "seconds_per_storyboard": line.slope,
        "seconds_per_storyboard_error": line.slope_error,
        "seconds_alone": line.intercept,
        "bend": bend(ahead, p99),
        "worst_against_proportional": worst_against_proportional(ahead, p99),
    }


def _latest(seconds: dict[int, list[float]]) -> str:
    return ", ".join(f"{depth} ahead {found[-1]:.2f} s" for depth, found in seconds.items())
