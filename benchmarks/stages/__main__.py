"""Panels at twice the bundled model's size, in one stage and progressively, at equal work.

    python -m benchmarks.stages out/repository

Both ways draw the same held-out (character, action, scene) triples from the same seeds, each
character with a reference and without its looks in the prompt, under the default injection. The
progressive way is the shipped recipe as it is. The rule for the other, written down before any
figure was seen: one stage with the first stage's sampler and guidance, in the whole number of
steps whose computed rows times latent positions come nearest to the recipe's. The ways take turns,
storyboard by storyboard. Panels are read at the reader's size, each pixel the mean of four.
"""

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.evaluation.drawing import drawn_panels, through_vae
from benchmarks.evaluation.pairs import Pixels
from benchmarks.identity import storyboards
from benchmarks.provenance import provenance
from benchmarks.stages.counted_work import counted
from benchmarks.stages.figure_counter import (
    CounterTraining,
    FigureCounter,
    halved,
    trained_counter,
)
from lafi.board.injection import Injection
from lafi.board.recipe import read_recipe
from lafi.board.stages import Sampling
from lafi.board.storyboard import Storyboard
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.ports.engines import Engines
from lafi_tiny.hand.picture import SIDE
from lafi_tiny.stages.agreement import Wanted, held_out_wanted, match
from lafi_tiny.stages.intervals import mean_interval, share_interval
from lafi_tiny.stages.reader import Reader, load_reader
from lafi_tiny.training import from_pixels, save_grid

RECIPE: Final = "progressive"
MEASURES: Final = ("action", "scene", "identity", "doubled", "cpu_seconds")


@dataclass(slots=True)
class Drawn:
    """The panels of one way so far; seconds of CPU time and work of each storyboard."""

    pixels: list[Pixels] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    row_tokens: list[int] = field(default_factory=list)


def main(
    repository: Annotated[Path, typer.Argument(help="The export of the bundled model.")],
    count: int = 128,
    seed: int = 11,
    reader_file: Path = Path("tiny_model/reader.safetensors"),
    runtime: RuntimeName = "openvino",
    precision: Precision = "f32",
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw, count, read, and write stages.json, a plot and both ways' panels."""
    console = Console()
    engines = load_onnx_engines(repository / "artifacts", runtime, precision)
    counter, error = trained_counter(lambda p: through_vae(engines, p), CounterTraining())
    console.print(f"figure counter: {error}")
    wanted = held_out_wanted(count, seed)
    progressive = Sampling.model_validate(read_recipe(RECIPE)["sampling"])
    ways = {"one_stage": one_stage(progressive, wanted, engines), RECIPE: progressive}
    drawn = {name: Drawn() for name in ways}
    boards = {name: larger_boards(wanted, sampling) for name, sampling in ways.items()}
    for turn in track(range(len(boards[RECIPE])), description="storyboards"):
        for name in ways if turn % 2 else reversed(ways):
            add_drawn(drawn[name], boards[name][turn], engines)
    reader = load_reader(reader_file)
    document = {
        **provenance(
            repository,
            shlex.join(["python", "-m", "benchmarks.stages", *sys.argv[1:]]),
            ("torch", "openvino"),
        ),
        "side": 2 * SIDE,
        "panels": count,
        "counter": asdict(error),
        **{
            name: {
                **figures(drawn[name], wanted, reader, counter),
                "sampling": ways[name].model_dump(mode="json", exclude_none=True),
            }
            for name in ways
        },
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "stages.json").write_text(json.dumps(document, indent=1) + "\n")
    for name in ways:
        save_grid(np.concatenate(drawn[name].pixels)[:16], results / f"stages_{name}.png")
    plot(document, list(ways), results / "stages.png")
    console.print(_table(document, list(ways)))


def one_stage(progressive: Sampling, wanted: Sequence[Wanted], engines: Engines) -> Sampling:
    """One stage at the whole size with as much work as the progressive way, as near as may be.

    Draws one storyboard of each, with one step and with two, to know what a step costs.
    """
    first = progressive.stages[0]

    def with_steps(steps: int) -> Sampling:
        alone = {"steps": steps, "sampler": first.sampler, "guidance": first.guidance}
        return Sampling.model_validate({"stages": [alone]})

    def work(sampling: Sampling) -> int:
        found = Drawn()
        add_drawn(found, larger_boards(wanted[:8], sampling)[0], engines)
        return found.row_tokens[0]

    one, two = work(with_steps(1)), work(with_steps(2))
    return with_steps(max(1, round((work(progressive) - one) / (two - one)) + 1))


def larger_boards(wanted: Sequence[Wanted], sampling: Sampling) -> list[Storyboard]:
    """The storyboards of `benchmarks.identity` at twice the model's size."""
    size = {"width": 2 * SIDE, "height": 2 * SIDE}
    return [b.model_copy(update=size) for b in storyboards(wanted, Injection(), sampling)]


def add_drawn(drawn: Drawn, board: Storyboard, engines: Engines) -> None:
    """Draw a storyboard and keep its panels and its cost."""
    counting, work = counted(engines)
    began = time.process_time()
    panels = drawn_panels(board, counting, "stages")
    drawn.cpu_seconds.append(time.process_time() - began)
    drawn.row_tokens.append(work.row_tokens)
    drawn.pixels.append(np.stack(panels))


def figures(
    drawn: Drawn, wanted: Sequence[Wanted], reader: Reader, counter: FigureCounter
) -> dict[str, Any]:
    """What a way's panels show and cost, each figure with its 95% interval.

    cpu_seconds: of a panel, over storyboards. doubled: share with more than one figure.
    """
    images = from_pixels(halved(np.concatenate(drawn.pixels)))
    pairs = list(zip(reader.read(images), wanted, strict=True))
    seconds = [s / len(p) for s, p in zip(drawn.cpu_seconds, drawn.pixels, strict=True)]
    return {
        "action": share_interval([r.action == w.action for r, w in pairs]),
        "scene": share_interval([r.scene == w.scene for r, w in pairs]),
        "identity": mean_interval([match(r, w.identity, w.visible) for r, w in pairs]),
        "doubled": share_interval([number > 1 for number in counter.count(images)]),
        "cpu_seconds": mean_interval(seconds),
        "row_tokens": sum(drawn.row_tokens) / len(pairs),
    }


def plot(document: Mapping[str, Any], ways: Sequence[str], path: Path) -> None:
    """Bars of every measure but the seconds, which stand in the names of the ways."""
    figure, axes = plt.subplots(figsize=(6.4, 4.0))
    shown = [name for name in MEASURES if name != "cpu_seconds"]
    for k, way in enumerate(ways):
        at = [document[way][name] for name in shown]
        means = [value["mean"] for value in at]
        ends = [
            [value["mean"] - value["low"] for value in at],
            [value["high"] - value["mean"] for value in at],
        ]
        label = f"{way}, {document[way]['cpu_seconds']['mean']:.2f} CPU s a panel"
        axes.bar(np.arange(len(shown)) + 0.4 * k, means, 0.36, yerr=ends, label=label)
    axes.set_xticks(np.arange(len(shown)) + 0.2, shown)
    axes.set_ylim(0, 1.15)
    axes.set_title(f"{document['side']} px panels at equal rows x tokens, default injection")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _table(document: Mapping[str, Any], ways: Sequence[str]) -> Table:
    table = Table("way", *MEASURES, "row tokens")
    for way in ways:
        means = (f"{document[way][name]['mean']:.3f}" for name in MEASURES)
        table.add_row(way, *means, f"{document[way]['row_tokens']:.0f}")
    return table


if __name__ == "__main__":
    torch.set_num_threads(2)
    typer.run(main)
