"""A running server under load.

    python -m benchmarks.load out/repository

Three parts, each with a server of its own: `arrivals` (MLPerf LoadGen, Offline and Server),
`queue` (time to the first panel against the storyboards ahead) and `perf_analyzer`. A part that
is measured again replaces its earlier figures in load.json; the others stay.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.load import arrivals, perf_runs, queue_ahead
from benchmarks.load.perf_analyzer import find_perf_analyzer
from benchmarks.load.plots import draw_plot
from benchmarks.load.served_copy import served_copy
from benchmarks.provenance import provenance
from lafi.server.exposure import OPEN_PARTS
from lafi.server.supervisor import Supervisor

RESULTS = Path("benchmarks/results")
PACKAGES = ("mlcommons-loadgen", "nvidia-pytriton", "openvino", "torch", "tritonclient")
Tell = Callable[[str], None]


class Part(StrEnum):
    """The parts that can be measured."""

    ARRIVALS = "arrivals"
    QUEUE = "queue"
    PERF_ANALYZER = "perf_analyzer"


def measure(part: Part, repository: Path, work: Path, quick: bool, tell: Tell) -> dict[str, Any]:
    """The part's settings and rows of figures; its raw logs stay in `work`."""
    logs = work / part
    if part is Part.ARRIVALS:
        offered = arrivals.QUICK if quick else arrivals.Arrivals()
        with Supervisor(repository, exposure=OPEN_PARTS) as server:
            rows = arrivals.measure_arrivals(server, offered, logs, tell)
        return {"settings": asdict(offered), "rows": rows}
    if part is Part.QUEUE:
        queues = queue_ahead.QUICK if quick else queue_ahead.Queues()
        with tempfile.TemporaryDirectory() as folder:
            copy = served_copy(repository, Path(folder), max_storyboards=queues.places)
            with Supervisor(copy) as server:
                rows = queue_ahead.measure_queues(server, queues, tell)
        return {"settings": {**asdict(queues), "max_storyboards": queues.places}, "rows": rows}
    runs = perf_runs.QUICK if quick else perf_runs.PerfRuns()
    analyzer = find_perf_analyzer(logs)
    with Supervisor(repository, exposure=OPEN_PARTS) as server:
        rows = perf_runs.measure_with_perf_analyzer(server, analyzer, runs, logs, tell)
    return {"settings": asdict(runs), "rows": rows}


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    only: Annotated[list[Part], typer.Option(help="parts to measure; default all")] = [*Part],  # noqa: B006
    quick: Annotated[bool, typer.Option("--quick", help="a small size, to try it")] = False,
    out: Annotated[Path, typer.Option(help="folder of load.json and load.png")] = RESULTS,
    work: Annotated[Path, typer.Option(help="folder of raw logs and of perf_analyzer")] = Path(
        "out/load"
    ),
) -> None:
    """Measure, print, write."""
    console = Console(highlight=False)
    path = out / "load.json"
    document: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    out.mkdir(parents=True, exist_ok=True)
    for part in only:
        found = measure(part, repository, work, quick, console.print)
        command = f"python -m benchmarks.load {repository} --only {part}"
        command += " --quick" if quick else ""
        document[part.value] = {**provenance(repository, command, PACKAGES), **found}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    draw_plot(document, out / "load.png")
    console.print(f"written: {path}")


if __name__ == "__main__":
    typer.run(main)
