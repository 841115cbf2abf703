"""Throughput and latency by arrival rate: LoadGen's Offline, then Server at shares of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load.loadgen import LoadgenRun, run_loadgen
from benchmarks.load.query import figures
from benchmarks.throughput.ours import counters, draw_over_grpc, rows_per_call, spent
from benchmarks.throughput.workload import PUBLISHED, Workload, storyboards
from lafi.server.supervisor import Supervisor
from lafi_client import StoryboardClient

REFUSED = "lafi_storyboards_refused_total"
THREADS = 64
"""Storyboards that the client can wait for at a time; the server's limit is far lower."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is measured.

    queries: of every run, by panels of a storyboard. shares: arrival rates as shares of the
    Offline throughput. at_once: storyboards in flight in Offline, as many as the server admits.
    samples: distinct storyboards.
    """

    queries: Mapping[int, int] = field(default_factory=lambda: {1: 70, 4: 22})
    shares: tuple[float, ...] = (0.3, 0.6, 0.9, 1.1, 2.0)
    steps: int = 8
    at_once: int = 16
    samples: int = 16
    side: int = 128


QUICK = Arrivals(queries={1: 8, 2: 4}, shares=(0.5, 4.0), steps=2, at_once=2, samples=3, side=32)


def measure_arrivals(
    server: Supervisor, what: Arrivals, logs: Path, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row of figures for each run; LoadGen's logs lie in a folder of `logs` for each."""
    rows = []
    for panels, queries in what.queries.items():
        _warm_up(server, what, panels)
        offline = LoadgenRun("Offline", queries, what.at_once)
        row = _row(server, what, panels, offline, logs / f"offline_{panels}")
        rows.append({**row, "share": None})
        tell(_line(rows[-1]))
        for share in what.shares:
            rate = share * row["storyboards_per_second"]
            run = LoadgenRun("Server", queries, THREADS, rate=rate)
            served = _row(server, what, panels, run, logs / f"server_{panels}_{share:g}")
            rows.append({**served, "share": share})
            tell(_line(rows[-1]))
    return rows


def _warm_up(server: Supervisor, what: Arrivals, panels: int) -> None:
    """Warm-up: draws all at once, so that batches of every size have run before."""
    load = Workload(what.at_once, panels, what.at_once, 2, side=what.side)
    draw_over_grpc(server, storyboards(load, PUBLISHED), load.in_flight)


def _row(
    server: Supervisor, what: Arrivals, panels: int, run: LoadgenRun, folder: Path
) -> dict[str, Any]:
    boards = storyboards(Workload(what.samples, panels, 1, what.steps, side=what.side), PUBLISHED)
    # In Offline the client waits and retries, so that all is drawn; in Server it never retries.
    retries = 0 if run.scenario == "Server" else 8
    before = counters(server)
    with StoryboardClient(server.grpc_url, retries=retries) as client:
        queries, verdict = run_loadgen(client, boards, run, folder)
    counted = spent(before, counters(server))
    return {
        "scenario": run.scenario,
        "panels": panels,
        "steps": what.steps,
        "arrival_rate": run.rate if run.scenario == "Server" else None,
        **figures(queries),
        "refused_by_the_servers_count": round(counted[REFUSED]),
        "rows_per_call": rows_per_call(counted),
        "loadgen": verdict,
    }


def _line(row: dict[str, Any]) -> str:
    rate = f" at {row['arrival_rate']:.2f}/s" if row["arrival_rate"] else ""
    first, last = row["first_panel_p99"], row["storyboard_p99"]
    seconds = (
        f"first panel p99 {first:.2f} s, storyboard p99 {last:.2f} s" if last else "none drawn"
    )
    speed = f"{row['panels']} panels: {row['panels_per_second']:.2f} panels/s"
    refused = f"refused {row['refused']} of {row['queries']}"
    return f"{row['scenario']}{rate}, {speed}, {seconds}, {refused}"
