"""How the cost of a panel grows with references per panel and with the size of the picture.

See `benchmarks.throughput.growth` for panels per storyboard and storyboards in flight.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psutil

from benchmarks.throughput.ours import counters, draw_over_grpc, rows_per_call, spent
from benchmarks.throughput.workload import KEPT, PLAIN, PUBLISHED, Workload, storyboards
from lafi.board.injection import Injection
from lafi.server.supervisor import Supervisor

INJECTIONS: Mapping[str, Injection] = {
    "none": PLAIN,
    "published": PUBLISHED,
    "fixed level, known": KEPT,
}


@dataclass(frozen=True, slots=True)
class Axes:
    """What is measured: one storyboard at a time, `rounds` times for each point."""

    characters: tuple[int, ...] = (0, 1, 2, 3, 4)
    sides: tuple[int, ...] = (128, 192, 256)
    panels: int = 4
    steps: int = 12
    rounds: int = 3


QUICK = Axes(characters=(0, 4), sides=(32,), panels=2, steps=2, rounds=1)


@dataclass(frozen=True, slots=True)
class Point:
    """One storyboard that is drawn repeatedly."""

    axis: str
    injection: str
    load: Workload


def points(what: Axes) -> list[Point]:
    """The points of both axes; without references, injection reads nothing."""
    base = Workload(1, what.panels, 1, what.steps, side=what.sides[0])
    return [
        *(
            Point("characters", name, replace(base, characters=count))
            for count in what.characters
            for name in INJECTIONS
            if (name == "none") == (count == 0)
        ),
        *(
            Point("side", name, replace(base, side=side))
            for side in what.sides
            for name in INJECTIONS
        ),
    ]


def measure_axes(
    server: Supervisor, what: Axes, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each point, medians over the rounds; `seconds_per_panel` of all rounds beside.

    Every point is drawn once before timing, so that its shape and characters are known. Points take
    turns, so that a busy machine slows all equally. CPU seconds are of all the server's processes,
    and do not depend on other load.
    """
    drawn = points(what)
    for point in drawn:
        draw_over_grpc(server, storyboards(point.load, INJECTIONS[point.injection]), 1)
    rounds: list[list[dict[str, float]]] = [[] for _ in drawn]
    spent_so_far = _Spent(server)
    for number in range(1, what.rounds + 1):
        for point, found in zip(drawn, rounds, strict=True):
            found.append(_draw(server, point, spent_so_far))
            tell(
                f"round {number}: {point.axis} {getattr(point.load, point.axis)}, "
                f"{point.injection}: {found[-1]['seconds_per_panel']:.3f} s a panel"
            )
    return [_row(point, found) for point, found in zip(drawn, rounds, strict=True)]


class _Spent:
    """The increase of the server's counters since the last call; nothing else may draw."""

    def __init__(self, server: Supervisor) -> None:
        self._server = server
        self._counted = counters(server)
        self._cpu = server_cpu_seconds(server)

    def since_last(self) -> tuple[dict[str, float], float]:
        """Its counters, and CPU seconds."""
        counted, cpu = counters(self._server), server_cpu_seconds(self._server)
        answer = spent(self._counted, counted), cpu - self._cpu
        self._counted, self._cpu = counted, cpu
        return answer


def _draw(server: Supervisor, point: Point, spent_so_far: _Spent) -> dict[str, float]:
    boards = storyboards(point.load, INJECTIONS[point.injection])
    took = draw_over_grpc(server, boards, 1).seconds
    counted, cpu = spent_so_far.since_last()
    panels = point.load.total
    return {
        "seconds_per_panel": took / panels,
        "cpu_seconds_per_panel": cpu / panels,
        "engine_seconds_per_panel": counted["lafi_denoiser_seconds_total"] / panels,
        "rows_per_call": rows_per_call(counted),
    }


def _row(point: Point, rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {
        "axis": point.axis,
        "injection": point.injection,
        "characters": point.load.characters,
        "side": point.load.side,
        "panels": point.load.panels,
        "steps": point.load.steps,
        **{name: statistics.median(found[name] for found in rounds) for name in rounds[0]},
        "rounds_seconds_per_panel": [found["seconds_per_panel"] for found in rounds],
    }


def server_cpu_seconds(server: Supervisor) -> float:
    """CPU seconds, user and system, of the server and of its models' processes so far."""
    main = psutil.Process(server.pid)
    times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
