"""How long a small storyboard takes beside large ones, in one process.

    python -m benchmarks.fair_turns out/repository

One panel of 6 steps, alone and then beside 64 panels of 100 steps, beside a picture of four times
the model's side, and beside both; all in turns. It should start within one call of the large
pictures and 2 s, and be done within 10 times its time alone.
"""

import json
import shlex
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from matplotlib import pyplot as plt

from benchmarks.provenance import provenance
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.studio import Studio
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.wire.events import PanelImage, Progress

RESULTS = Path("benchmarks/results")
PACKAGES = ("openvino", "torch")
LEAD_SECONDS = 3.0
"""For which the large ones are drawn before the small one comes."""


class Waited(NamedTuple):
    """Seconds until the small storyboard's first step and until its panel."""

    first_step: float
    done: float


def small(seed: int) -> Storyboard:
    """One panel of 6 steps, never the same one twice."""
    panel = Panel(prompt="a child is running on a meadow by day", seed=seed)
    return Storyboard(sampling={"steps": 6}, panels=(panel,))


def many() -> Storyboard:
    """64 panels of 100 steps."""
    panels = [Panel(prompt="a child on the beach", seed=seed) for seed in range(64)]
    return Storyboard(sampling={"steps": 100}, panels=panels)


def large(side: int) -> Storyboard:
    """One panel of 50 steps with four times the model's side."""
    return Storyboard(
        width=side,
        height=side,
        sampling={"steps": 50},
        panels=(Panel(prompt="a child in the city at night", seed=1),),
    )


def measure(studio: Studio, seed: int) -> Waited:
    """Draw the small storyboard and look at the clock."""
    began = time.monotonic()
    first = 0.0
    for event in studio.draw(small(seed), lambda: False):
        if isinstance(event, Progress) and not first:
            first = time.monotonic() - began
        if isinstance(event, PanelImage):
            return Waited(first, time.monotonic() - began)
    raise RuntimeError("the small storyboard got no panel")


@contextmanager
def company(studio: Studio, storyboards: list[Storyboard]) -> Iterator[None]:
    """Others that are being drawn meanwhile, and leave at the end."""
    over = threading.Event()

    def draw(storyboard: Storyboard) -> None:
        while not over.is_set():
            for _ in studio.draw(storyboard, over.is_set):
                pass

    threads = [threading.Thread(target=draw, args=(each,)) for each in storyboards]
    for thread in threads:
        thread.start()
    time.sleep(LEAD_SECONDS if storyboards else 0.0)
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def largest_call(studio: Studio, side: int) -> float:
    """Seconds of one denoiser call of a picture of that side, the least of three."""
    board = large(side)
    times: list[float] = []
    last = time.monotonic()
    for event in studio.draw(board, lambda: len(times) > 3):
        if isinstance(event, Progress):
            times.append(time.monotonic() - last)
            last = time.monotonic()
    return min(times[1:])


def draw_plot(cases: dict[str, dict[str, Any]], path: Path) -> None:
    """Bars of the medians of first step and panel, by company."""
    names = [*cases]
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    for place, part in enumerate(("done", "first_step")):
        values = [cases[name][part]["median"] for name in names]
        axes.barh([y + 0.2 * place for y in range(len(names))], values, 0.4, label=part)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("seconds, median")
    axes.legend()
    axes.invert_yaxis()
    figure.savefig(path, dpi=120)


def main(
    repository: Annotated[Path, typer.Argument(help="An export of the bundled model.")],
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Measure, print and write the figures."""
    engines = load_onnx_engines(repository / "artifacts", runtime="openvino")
    studio = Studio({"": engines})
    side = engines.info.side_limit
    companies = {
        "alone": [],
        "64 panels of 100 steps": [many()],
        f"one of {side} px": [large(side)],
        "both": [many(), large(side)],
    }
    call = largest_call(studio, side)
    found: dict[str, list[Waited]] = {name: [] for name in companies}
    for number in range(rounds):
        for place, (name, others) in enumerate(companies.items()):
            with company(studio, others):
                found[name].append(measure(studio, 1000 * number + place))
    studio.close()
    alone = min(waited.done for waited in found["alone"])
    cases = {
        name: {
            part: {"least": min(values), "median": statistics.median(values), "most": max(values)}
            for part, values in (
                ("first_step", [waited.first_step for waited in rows]),
                ("done", [waited.done for waited in rows]),
            )
        }
        | {"times_alone": statistics.median(waited.done for waited in rows) / alone}
        for name, rows in found.items()
    }
    command = f"python -m benchmarks.fair_turns {shlex.join(sys.argv[1:])}"
    result = {**provenance(repository, command, PACKAGES), "largest_call": call, "cases": cases}
    (RESULTS / "fair_turns.json").write_text(json.dumps(result, indent=2) + "\n")
    draw_plot(cases, RESULTS / "fair_turns.png")
    typer.echo(json.dumps({"largest_call": call, **cases}, indent=2))


if __name__ == "__main__":
    typer.run(main)
