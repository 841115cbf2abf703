"""Panels per second against peers on the same checkpoint, and how cost grows.

    python -m benchmarks.panels_per_second out/repository tiny_model/weights

Everybody draws storyboards of 8 panels with a character each, 4 storyboards in flight; ours
through the server over gRPC. All take turns, and ratios are medians over the rounds.
"""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.cpu_engines import cpu_name
from benchmarks.throughput.comparison import compare, ratio
from benchmarks.throughput.growth import growth
from benchmarks.throughput.workload import Workload
from lafi.model_info import load_model_info

RESULTS = Path("benchmarks/results")
PUBLISHED = "lafi decoder, published"


def ratios(speeds: dict[str, list[float]]) -> dict[str, float]:
    """The figures that decide, as the project states them."""
    return {
        "ratio_vs_concat_fp32": ratio(speeds, PUBLISHED, "diffusers, reference per image"),
        "ratio_vs_plain_fp32": ratio(speeds, PUBLISHED, "diffusers plain"),
        "ratio_vs_story_fp32": ratio(speeds, PUBLISHED, "StoryDiffusion's manner"),
        "ratio_vs_tutorial_fp32": ratio(speeds, PUBLISHED, "Triton Server tutorial's manner"),
        "known_character_cost": ratio(
            speeds, "lafi none", "lafi decoder, fixed level, known characters"
        ),
        "published_cost": ratio(speeds, "lafi none", PUBLISHED),
    }


def plot(document: dict[str, Any], path: Path) -> None:
    """Bars of panels per second; lines of growth."""
    figure, (bars, lines) = plt.subplots(1, 2, figsize=(13, 4.5), layout="constrained")
    medians = {name: sorted(s)[len(s) // 2] for name, s in document["panels_per_second"].items()}
    drawn = bars.barh([*medians], [*medians.values()])
    bars.bar_label(drawn, fmt=" %.2f")
    bars.invert_yaxis()
    bars.set_xlabel("panels per second, 4 storyboards of 8 panels in flight")
    for name in dict.fromkeys(row["injection"] for row in document["growth"]["panels"]):
        rows = [row for row in document["growth"]["panels"] if row["injection"] == name]
        seconds = [1.0 / row["panels_per_second"] for row in rows]
        lines.plot([row["panels"] for row in rows], seconds, "o-", label=name)
    lines.set_xlabel("panels of one storyboard")
    lines.set_ylabel("seconds per panel")
    lines.set_ylim(bottom=0)
    lines.legend()
    figure.savefig(path, dpi=110)


def commit() -> str:
    """Of the working tree, or nothing where there is none."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    checkpoint: Annotated[Path, typer.Argument(help="the diffusers folder it was made from")],
    rounds: Annotated[int, typer.Option(help="of the comparison")] = 3,
    steps: Annotated[int, typer.Option(help="of every panel")] = 20,
    out: Annotated[Path, typer.Option(help="folder of peers.json and peers.png")] = RESULTS,
) -> None:
    """Measure, print, write."""
    console = Console(highlight=False)
    torch.set_num_threads(2)
    load = Workload(storyboards=4, panels=8, in_flight=4, steps=steps)
    speeds = compare(repository, checkpoint, load, rounds, console.print)
    grown = growth(repository, steps, console.print)
    info = load_model_info(repository / "artifacts")
    document: dict[str, Any] = {
        **ratios(speeds),
        "overhead_share": next(
            row["overhead_share"]
            for row in grown["panels"]
            if (row["injection"], row["panels"]) == ("published", 8)
        ),
        "panels_per_second": speeds,
        "growth": grown,
        "steps": steps,
        "engine": f"{info.engine} {info.precision}",
        "weights_sha256": info.weights_sha256,
        "cpu": cpu_name(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "openvino")},
        "commit": commit(),
        "command": "python -m benchmarks.panels_per_second out/repository tiny_model/weights"
        + f" --rounds {rounds} --steps {steps}",
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    plot(document, out / "peers.png")
    table = Table("figure", "value")
    for name, value in document.items():
        if isinstance(value, float):
            table.add_row(name, f"{value:.3f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
