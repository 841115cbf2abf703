"""How cost grows: with panels per storyboard, and with storyboards in flight."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.throughput.ours import counters, draw_over_grpc, rows_per_call, spent
from benchmarks.throughput.workload import KEPT, PLAIN, PUBLISHED, Workload, storyboards
from lafi.server.supervisor import Supervisor

INJECTIONS = {"none": PLAIN, "published": PUBLISHED, "fixed level": KEPT}


Row = dict[str, Any]


def growth(
    repository: Path, steps: int, rounds: int, tell: Callable[[str], None]
) -> dict[str, list[Row]]:
    """Rows of figures: `panels` for one storyboard of 1 to 16 panels, `in_flight` for 1 to 16.

    Every figure is the median of `rounds`; rows take turns.
    """
    loads = {
        "panels": [Workload(1, panels, 1, steps) for panels in (1, 4, 8, 16)],
        "in_flight": [Workload(max(4, n), 4, n, steps) for n in (1, 4, 16)],
    }
    turns = [
        (what, name, load) for what, some in loads.items() for load in some for name in INJECTIONS
    ]
    most = max(load.storyboards for _, _, load in turns)
    found: list[list[Row]] = [[] for _ in turns]
    with Supervisor(repository) as server:
        draw_over_grpc(server, storyboards(Workload(1, 1, 1, 2), KEPT), 1)
        for number in range(rounds):
            for place, (_, name, load) in enumerate(turns):
                # Characters that no earlier turn has drawn.
                first = most * (1 + place + number * len(turns))
                found[place].append(_figures(server, load, name, first, tell))
    rows = [medians(each) for each in found]
    return {
        what: [row for (whose, _, _), row in zip(turns, rows, strict=True) if whose == what]
        for what in loads
    }


def medians(rows: Sequence[Row]) -> Row:
    """One row with medians of rows that differ only in measured figures."""
    return {
        key: statistics.median(row[key] for row in rows) if isinstance(value, float) else value
        for key, value in rows[0].items()
    }


def _figures(
    server: Supervisor, load: Workload, name: str, first: int, tell: Callable[[str], None]
) -> Row:
    boards = storyboards(load, INJECTIONS[name], first=first)
    before = counters(server)
    drawn = draw_over_grpc(server, boards, load.in_flight)
    counted = spent(before, counters(server))
    figures = {
        "injection": name,
        "storyboards": load.storyboards,
        "panels": load.panels,
        "in_flight": load.in_flight,
        "steps": load.steps,
        "panels_per_second": load.total / drawn.seconds,
        "first_panel_p50": float(np.percentile(drawn.first_panel, 50)),
        "first_panel_p99": float(np.percentile(drawn.first_panel, 99)),
        "rows_per_call": rows_per_call(counted),
        "overhead_share": 1.0
        - counted["lafi_denoiser_seconds_total"] / counted["lafi_step_seconds_total"],
        "engine_share_of_wall": counted["lafi_denoiser_seconds_total"] / drawn.seconds,
    }
    tell(f"{name}, {load}: {figures['panels_per_second']:.2f} panels/s")
    return figures
