"""What drawing a storyboard again in rounds changes: identity, agreement, obedience, cost.

    python -m benchmarks.refinement out/repository

Storyboards of four panels, one held-out character each with a reference and without its looks in
the prompt, under the default injection. Each way of refining (`lafi refine`) draws three rounds;
round 0 is the same for all. `agreement` is the share of attributes that two panels of a storyboard
have in common, of those that both show. `cost` is the process's CPU seconds up to that round, as a
ratio to round 0. Rule, written before any figure was seen: a way is recommended if some round gains
at least 0.03 of identity or agreement over round 0 and loses at most 0.03 of action and scene;
otherwise the page says that refinement does not help this model.
"""

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.evaluation.drawing import drawn_panels, png_of
from benchmarks.evaluation.pairs import Pixels
from benchmarks.few_steps import shown_figures
from benchmarks.provenance import provenance
from lafi.board.reference_image import ReferenceImage
from lafi.board.refinement import Refinement, refined
from lafi.board.stages import Sampling
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.ports.engines import Engines
from lafi_tiny.hand.caption import plain_caption
from lafi_tiny.hand.picture import SIDE
from lafi_tiny.hand.reference_sheet import reference_png
from lafi_tiny.stages.agreement import Wanted, figures_agree, held_out_wanted
from lafi_tiny.stages.intervals import mean_interval
from lafi_tiny.stages.reader import Reader, Reading, load_reader
from lafi_tiny.training import from_pixels, save_grid

WAYS: Final[Mapping[str, Refinement]] = {
    "from noise": Refinement(),
    "denoise 0.6": Refinement(denoise=0.6),
    "from noise, one other": Refinement(others=1),
}
FIGURES: Final = ("identity", "agreement", "action", "scene", "cost")
PANELS: Final = 4


def main(
    repository: Annotated[Path, typer.Argument(help="The bundled model, exported.")],
    count: Annotated[int, typer.Option(help="storyboards of four panels")] = 24,
    rounds: Annotated[int, typer.Option(min=1, max=4)] = 3,
    seed: Annotated[int, typer.Option(help="which characters, actions and scenes")] = 17,
    steps: int = 30,
    guidance: float = 4.0,
    only: Annotated[list[str] | None, typer.Option(help="Ways to try; default all.")] = None,
    threads: int = 2,
    reader_file: Path = Path("tiny_model/reader.safetensors"),
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw, read, and write refinement.json and the first storyboards of every way."""
    torch.set_num_threads(threads)
    engines = load_onnx_engines(repository / "artifacts", runtime="openvino", precision="f32")
    reader = load_reader(reader_file)
    groups = wanted_groups(count, seed)
    sampling = Sampling.model_validate({"steps": steps, "guidance": guidance})
    boards = [storyboard(group, sampling, number) for number, group in enumerate(groups)]
    first, began = _drawn(boards, engines, "round 0")
    ways: dict[str, list[dict[str, Any]]] = {}
    results.mkdir(parents=True, exist_ok=True)
    for name in only or WAYS:
        drawn, spent = first, began
        ways[name] = [figures(first, groups, reader) | {"cost": 1.0}]
        for number in range(1, rounds + 1):
            again = [
                refined(board, dict(enumerate(map(png_of, panels))), WAYS[name])
                for board, panels in zip(boards, drawn, strict=True)
            ]
            drawn, seconds = _drawn(again, engines, f"{name}, round {number}")
            spent += seconds
            ways[name].append(figures(drawn, groups, reader) | {"cost": spent / began})
        rows = np.stack([panel for panels in [*first[:2], *drawn[:2]] for panel in panels])
        save_grid(rows, results / f"refinement_{name.replace(', ', '_').replace(' ', '_')}.png")
    command = shlex.join(["python", "-m", "benchmarks.refinement", *sys.argv[1:]])
    document = {
        **provenance(repository, command, ("torch", "openvino")),
        "storyboards": count,
        "panels": count * PANELS,
        "refinement": ways,
        "recommended": [name for name, found in ways.items() if recommended(found)],
    }
    (results / "refinement.json").write_text(json.dumps(document, indent=1) + "\n")
    Console().print(_table(ways))


def wanted_groups(count: int, seed: int) -> list[list[Wanted]]:
    """Four held-out actions and scenes for each of so many held-out characters."""
    wanted = held_out_wanted(count * PANELS, seed)
    groups = [wanted[start : start + PANELS] for start in range(0, len(wanted), PANELS)]
    return [[replace(each, identity=group[0].identity) for each in group] for group in groups]


def storyboard(group: Sequence[Wanted], sampling: Sampling, number: int) -> Storyboard:
    """One character in four panels; their prompts say nothing of its looks."""
    reference = ReferenceImage(data=reference_png(group[0].identity, seed=number))
    character = Character(name="who", prompt="a child", reference=reference)
    panels = tuple(
        Panel(
            prompt=plain_caption(each.action, each.scene, who="{who}"),
            seed=1000 + PANELS * number + place,
        )
        for place, each in enumerate(group)
    )
    return Storyboard(
        width=SIDE, height=SIDE, characters=(character,), panels=panels, sampling=sampling
    )


def figures(
    drawn: Sequence[Sequence[Pixels]], groups: Sequence[Sequence[Wanted]], reader: Reader
) -> dict[str, Any]:
    """What the panels of all storyboards show, each with its 95% interval."""
    readings = [reader.read(from_pixels(np.stack([*panels]))) for panels in drawn]
    every = [reading for panels in readings for reading in panels]
    return {
        **shown_figures(every, [wanted for group in groups for wanted in group]),
        "agreement": mean_interval([agreement(panels) for panels in readings]),
    }


def agreement(panels: Sequence[Reading]) -> float:
    """Mean agreement over all pairs of a storyboard's panels."""
    return float(np.mean([figures_agree(a, b) for a, b in combinations(panels, 2)]))


def recommended(rounds: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some round gains enough and loses little; see above."""

    def change(later: Mapping[str, Any], name: str) -> float:
        return float(later[name]["mean"] - rounds[0][name]["mean"])

    return any(
        max(change(later, "identity"), change(later, "agreement")) >= 0.03
        and min(change(later, "action"), change(later, "scene")) >= -0.03
        for later in rounds[1:]
    )


def _drawn(
    boards: Sequence[Storyboard], engines: Engines, what: str
) -> tuple[list[list[Pixels]], float]:
    """The panels of every storyboard, and the CPU seconds that they took."""
    began = time.process_time()
    drawn = [drawn_panels(board, engines, what) for board in track(boards, description=what)]
    return drawn, time.process_time() - began


def _table(ways: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    table = Table("way", "round", *FIGURES)
    for name, rounds in ways.items():
        for number, found in enumerate(rounds):
            means = (f"{found[f]['mean']:.3f}" for f in FIGURES[:-1])
            table.add_row(name, str(number), *means, f"{found['cost']:.2f}")
    return table


if __name__ == "__main__":
    typer.run(main)
