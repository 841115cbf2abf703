"""How cost grows: with panels per storyboard, and with storyboards in flight."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.throughput.ours import counters, draw_over_grpc, rows_per_call, spent
from benchmarks.throughput.workload import KEPT, PLAIN, PUBLISHED, Workload, storyboards
from lafi.supervisor import TritonServer

INJECTIONS = {"none": PLAIN, "published": PUBLISHED, "fixed level": KEPT}


def growth(
    repository: Path, steps: int, tell: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    """Rows of figures: `panels` for one storyboard of 1 to 16 panels, `in_flight` for 1 to 16."""
    with TritonServer(repository) as server:
        draw_over_grpc(server, storyboards(Workload(1, 1, 1, 2), PUBLISHED), 1)
        loads = {
            "panels": [Workload(1, panels, 1, steps) for panels in (1, 4, 8, 16)],
            "in_flight": [Workload(max(4, n), 4, n, steps) for n in (1, 4, 16)],
        }
        return {
            what: [
                _figures(server, load, name, number, tell)
                for number, load in enumerate(some)
                for name in INJECTIONS
            ]
            for what, some in loads.items()
        }


def _figures(
    server: TritonServer, load: Workload, name: str, number: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    boards = storyboards(load, INJECTIONS[name], first=100 * (number + 1))
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
