"""How long a server takes to start, the first time and again.

    python -m benchmarks.start out/repository

A server leaves what OpenVINO compiled in its state folder, so the next start need not compile it.
The two ways take turns: with an empty state folder, and with what the last start left. CPU seconds
are those of all the server's processes together until it is ready.
"""

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from matplotlib import pyplot as plt
from rich.console import Console

from benchmarks.faults.served import Served, serve
from benchmarks.provenance import provenance
from benchmarks.turns import in_turns

RESULTS = Path("benchmarks/results")
PACKAGES = ("nvidia-pytriton", "onnxruntime", "openvino", "torch")
FIRST, AGAIN = "first", "again"


def cpu_seconds(served: Served) -> float:
    """Of the supervisor and of all parts that run."""
    used = 0.0
    for pid in (served.process.pid, *served.parts()):
        times = psutil.Process(pid).cpu_times()
        used += times.user + times.system
    return used


class Starts:
    """Starts servers of one copy of a repository."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self._repository = folder / "repository"
        self._lives = folder / "lives"
        self.cpu: dict[str, list[float]] = {FIRST: [], AGAIN: []}
        shutil.copytree(repository, self._repository, ignore=shutil.ignore_patterns("state"))
        self._run()

    def seconds(self, way: str) -> float:
        """Until it is ready."""
        if way == FIRST:
            shutil.rmtree(self._repository / "state")
        seconds, cpu = self._run()
        self.cpu[way].append(cpu)
        return seconds

    def _run(self) -> tuple[float, float]:
        self._lives.mkdir(exist_ok=True)
        life = Path(tempfile.mkdtemp(dir=self._lives))
        began = time.perf_counter()
        with serve(self._repository, life, ("--canary-seconds", "0")) as served:
            return time.perf_counter() - began, cpu_seconds(served)


def summary(seconds: dict[str, list[float]], cpu: dict[str, list[float]]) -> dict[str, Any]:
    """Least and median of both ways, and `again` as a share of `first`."""
    figures: dict[str, Any] = {}
    for name, found in (("seconds", seconds), ("cpu_seconds", cpu)):
        ways: dict[str, Any] = {
            way: {"least": min(each), "median": statistics.median(each), "rounds": each}
            for way, each in found.items()
        }
        ratio = ways[AGAIN]["median"] / ways[FIRST]["median"]
        figures[name] = {**ways, "ratio_of_medians": ratio}
    return figures


def draw_plot(figures: dict[str, Any], path: Path) -> None:
    """Each start as a point, and the medians."""
    figure, panels = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
    for panel, (name, title) in zip(
        panels,
        (("seconds", "seconds until ready"), ("cpu_seconds", "CPU seconds until ready")),
        strict=True,
    ):
        for place, way in enumerate((FIRST, AGAIN)):
            found = figures[name][way]
            panel.bar(place, found["median"], color="#bbccee")
            panel.plot([place] * len(found["rounds"]), found["rounds"], "k.")
        panel.set_xticks([0, 1], [FIRST, AGAIN])
        panel.set_ylim(bottom=0)
        panel.set_title(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(
    repository: Annotated[Path, typer.Argument(help="What `lafi export` wrote.")],
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    out: Annotated[Path, typer.Option(help="Where figures and plot go.")] = RESULTS,
) -> None:
    """Start a server this often in each way."""
    with tempfile.TemporaryDirectory(prefix="lafi-start-") as folder:
        starts = Starts(repository, Path(folder))
        seconds = in_turns((FIRST, AGAIN), rounds, starts.seconds)
        figures = summary(seconds, starts.cpu)
    command = "python -m benchmarks.start out/repository"
    report = {**provenance(repository, command, PACKAGES), **figures}
    (out / "start.json").write_text(json.dumps(report, indent=1) + "\n")
    draw_plot(figures, out / "start.png")
    for name in ("seconds", "cpu_seconds"):
        first, again = (figures[name][way]["median"] for way in (FIRST, AGAIN))
        Console().print(f"{name}: first {first:.1f}, again {again:.1f}")


if __name__ == "__main__":
    typer.run(main)
