"""Memory, handles, threads and shared memory of a server over 1,000 storyboards.

    python -m benchmarks.memory out/repository

Each storyboard has its own character, whose reference is read at a fixed noise level. So the bank
is full and evicts entries all the time.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib import pyplot as plt
from rich.console import Console

from benchmarks.load.endurance import MIB, QUICK, Endurance, growth_after, measure_endurance
from benchmarks.load.resources import Held, total
from benchmarks.load.served_copy import served_copy
from benchmarks.provenance import provenance
from lafi.server.supervisor import Supervisor

RESULTS = Path("benchmarks/results")
PACKAGES = ("nvidia-pytriton", "openvino", "torch", "psutil")


def plot(samples: Sequence[Held], warm_up: int, path: Path) -> None:
    """Plots resident memory by process, and counts, over the number of storyboards."""
    figure, (memory, counts) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    drawn = [sample.storyboards for sample in samples]
    for name in sorted({name for sample in samples for name in sample.resident}):
        memory.plot(drawn, [s.resident.get(name, 0) / MIB for s in samples], label=name)
    memory.set_ylabel("resident MiB")
    counts.plot(drawn, [total(s.handles) for s in samples], label="open handles")
    counts.plot(drawn, [total(s.threads) for s in samples], label="threads")
    counts.plot(drawn, [s.shared_files for s in samples], label="files in /dev/shm")
    counts.plot(drawn, [s.bank_entries for s in samples], label="references in the bank")
    for axes in (memory, counts):
        axes.axvline(warm_up, color="grey", linestyle=":", label="end of the warm-up")
        axes.set_xlabel("storyboards drawn")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    quick: Annotated[bool, typer.Option("--quick", help="a small size, to try it")] = False,
    out: Annotated[Path, typer.Option(help="folder of memory.json and memory.png")] = RESULTS,
) -> None:
    """Measure, print, write."""
    console = Console(highlight=False)
    what = QUICK if quick else Endurance()
    with tempfile.TemporaryDirectory() as folder:
        copy = served_copy(repository, Path(folder), bank_megabytes=what.bank_megabytes)
        with Supervisor(copy) as server:
            samples = measure_endurance(server, what, console.print)
    command = f"python -m benchmarks.memory {repository}" + (" --quick" if quick else "")
    growth = growth_after(samples, what.warm_up)
    document: dict[str, Any] = {
        **provenance(repository, command, PACKAGES),
        "settings": asdict(what),
        "growth_after_warm_up": growth,
        "samples": [sample.as_row() for sample in samples],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "memory.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    plot(samples, what.warm_up, out / "memory.png")
    for what_grows in ("resident_mib", "handles", "threads"):
        for name, found in growth[what_grows].items():
            grown = f"{found['per_1000']:+.1f} +- {found['error']:.1f}"
            console.print(f"{what_grows}, {name}: {grown} per 1,000 storyboards")


if __name__ == "__main__":
    typer.run(main)
