"""What a server's memory comes to after storyboards in many sizes, beside those in one.

    python -m benchmarks.memory_of_sizes out/repository

One real server draws storyboards of one size until its memory stands still, then of a hundred
sizes none of which is larger. Wanted: at most 200 MiB more at the end.
"""

import json
import random
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib import pyplot as plt
from rich.console import Console

from benchmarks.faults.served import Served, serve
from benchmarks.provenance import provenance
from lafi.board.limits import MIN_SIDE
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.model.info import load_model_info
from lafi_client import StoryboardClient

RESULTS = Path("benchmarks/results")
PACKAGES = ("nvidia-pytriton", "openvino", "onnxruntime", "torch")
MIB = 2**20
WANTED_MIB = 200
SIDES_OF_A_SIZE = 10


def sizes_up_to(largest: int, multiple: int) -> list[tuple[int, int]]:
    """A hundred sizes, or as many as there are, in a random order that is always the same."""
    sides = [*range(largest, MIN_SIDE - 1, -multiple)][:SIDES_OF_A_SIZE]
    found = [(width, height) for width in sides for height in sides]
    random.Random(0).shuffle(found)
    return found


def board(size: tuple[int, int], seed: int) -> Storyboard:
    """Two panels with one step."""
    stage = SamplingStage(steps=1)
    panels = tuple(Panel(prompt="a child", seed=2 * seed + place) for place in range(2))
    width, height = size
    return Storyboard(width=width, height=height, sampling=Sampling(stages=(stage,)), panels=panels)


def measure(
    served: Served, one: tuple[int, int], many: list[tuple[int, int]], before: int, count: int
) -> list[dict[str, Any]]:
    """Memory of all the server's processes while it draws: first one size, then all of them."""
    rows: list[dict[str, Any]] = []
    drawn: set[tuple[int, int]] = set()
    began = time.monotonic()
    with StoryboardClient(served.url) as client:
        for number in range(before + count):
            first = number < before
            size = one if first else many[number % len(many)]
            client.draw_all(board(size, number))
            drawn.add(size)
            if number % max(1, count // 20) == 0 or number in (before - 1, before + count - 1):
                rows.append(
                    {
                        "storyboards": number + 1,
                        "sizes": len(drawn),
                        "mib": round(served.resident_bytes() / MIB, 1),
                        "seconds": round(time.monotonic() - began, 1),
                    }
                )
    return rows


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Memory over storyboards."""
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot([row["storyboards"] for row in rows], [row["mib"] for row in rows], marker=".")
    first = max(row["storyboards"] for row in rows if row["sizes"] == 1)
    axes.axvline(first, color="0.7")
    axes.set(xlabel="storyboards: one size, then a hundred", ylabel="MiB of all processes")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(
    repository: Annotated[Path, typer.Argument(help="What `lafi export` wrote.")],
    count: Annotated[int, typer.Option(help="Storyboards of many sizes.", min=1)] = 1000,
    before: Annotated[int, typer.Option(help="Storyboards of one size before them.", min=1)] = 300,
    side: Annotated[
        int, typer.Option(help="Of the largest size; 0: so that there are a hundred sizes.", min=0)
    ] = 0,
    out: Annotated[Path, typer.Option()] = RESULTS,
) -> None:
    """Measure, write memory_of_sizes.json and its plot, and say whether it is as wanted."""
    info = load_model_info(repository / "artifacts")
    least = -(-MIN_SIDE // info.side_multiple) * info.side_multiple
    largest = max(side, MIN_SIDE) if side else least + (SIDES_OF_A_SIZE - 1) * info.side_multiple
    many = sizes_up_to(largest, info.side_multiple)
    with tempfile.TemporaryDirectory() as folder:
        options = ("--store", "none")
        with serve(repository, Path(folder) / "tmp", options) as served:
            rows = measure(served, (largest, largest), many, before, count)
    grown = rows[-1]["mib"] - max(row["mib"] for row in rows if row["sizes"] == 1)
    command = "python -m benchmarks.memory_of_sizes out/repository"
    report = {
        **provenance(repository, command, PACKAGES),
        "sizes": len(many),
        "largest_side": largest,
        "grown_mib": round(grown, 1),
        "wanted_mib": WANTED_MIB,
        "rows": rows,
    }
    (out / "memory_of_sizes.json").write_text(json.dumps(report, indent=1) + "\n")
    plot(rows, out / "memory_of_sizes.png")
    Console().print(f"{grown:+.0f} MiB after {len(many)} sizes (wanted: at most {WANTED_MIB})")


if __name__ == "__main__":
    typer.run(main)
