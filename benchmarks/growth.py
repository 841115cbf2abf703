"""The cost of a panel by references per panel and by size, through the server.

    python -m benchmarks.growth out/repository

For cost by panels per storyboard and by storyboards in flight: `benchmarks.panels_per_second`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib import pyplot as plt
from rich.console import Console

from benchmarks.provenance import provenance
from benchmarks.throughput.growth_axes import QUICK, Axes, measure_axes
from lafi.server.supervisor import Supervisor

RESULTS = Path("benchmarks/results")
PACKAGES = ("nvidia-pytriton", "openvino", "torch")
LABELS = {"characters": "characters in every panel", "side": "side of the picture, pixels"}


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plots seconds per panel over each axis; the plain panel is at 0 characters."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    for axis, (name, label) in zip(axes, LABELS.items(), strict=True):
        found = [row for row in rows if row["axis"] == name]
        plain = [row for row in found if name == "characters" and row["characters"] == 0]
        for injection in dict.fromkeys(row["injection"] for row in found if row not in plain):
            line = [*plain, *(row for row in found if row["injection"] == injection)]
            axis.plot(
                [row[name] for row in line],
                [row["seconds_per_panel"] for row in line],
                "o-",
                label=injection,
            )
        axis.set_xlabel(label)
        axis.set_ylabel("seconds per panel")
        axis.set_ylim(bottom=0)
        axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    quick: Annotated[bool, typer.Option("--quick", help="a small size, to try it")] = False,
    out: Annotated[Path, typer.Option(help="folder of growth.json and growth.png")] = RESULTS,
) -> None:
    """Measure, print, write."""
    console = Console(highlight=False)
    what = QUICK if quick else Axes()
    with Supervisor(repository) as server:
        rows = measure_axes(server, what, console.print)
    command = f"python -m benchmarks.growth {repository}" + (" --quick" if quick else "")
    document = {
        **provenance(repository, command, PACKAGES),
        "settings": asdict(what),
        "rows": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "growth.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    plot(rows, out / "growth.png")


if __name__ == "__main__":
    typer.run(main)
