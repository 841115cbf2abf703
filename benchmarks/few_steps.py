"""Few steps with a LoRA and without one, against thirty steps: what panels show, and how fast.

    python -m benchmarks.few_steps out/repository

All ways draw the same held-out (character, action, scene) triples from the same seeds through one
running server, each character with a reference and without its looks in the prompt. Thirty steps
have the default injection; `fast` is the recipe of that name as it is, with its own injection;
`without_lora` is the same without its variant: what the LoRA has to be better than. They take
turns, storyboard by storyboard; the first one of each is drawn before with other seeds, so that no
shape is new when the clock runs. A figure's share is that of the fast way divided by that of thirty
steps.
"""

import json
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.evaluation.drawing import pixels_of
from benchmarks.evaluation.pairs import Pixels
from benchmarks.identity import storyboards
from benchmarks.provenance import provenance
from lafi.board.injection import Injection
from lafi.board.recipe import read_recipe
from lafi.board.stages import Sampling
from lafi.board.storyboard import Storyboard
from lafi.server.supervisor import Supervisor
from lafi.store.settings import STORE
from lafi_client import StoryboardClient
from lafi_tiny.hand.picture import SIDE
from lafi_tiny.stages.agreement import Wanted, held_out_wanted, match
from lafi_tiny.stages.intervals import mean_interval, share_interval
from lafi_tiny.stages.reader import Reader, Reading, load_reader
from lafi_tiny.training import from_pixels, save_grid

RECIPE: Final = "fast"
FULL: Final = "thirty_steps"
WITHOUT: Final = "without_lora"
READ: Final = ("action", "scene", "identity")
ALLOWED: Final[Mapping[str, float]] = {**dict.fromkeys(READ, 0.95), "speed_up": 5.0}
"""The least share of each figure, and the least ratio of panels per second."""


def main(
    repository: Annotated[Path, typer.Argument(help="The bundled model with its variant `fast`.")],
    count: Annotated[int, typer.Option(help="held-out triples, a panel each")] = 128,
    seed: Annotated[int, typer.Option(help="which triples")] = 11,
    steps: Annotated[int, typer.Option(help="of the model itself")] = 30,
    sampler: str = "DDIM",
    guidance: float = 4.0,
    reader_file: Path = Path("tiny_model/reader.safetensors"),
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw, read, and write few_steps.json and both ways' first panels."""
    wanted = held_out_wanted(count, seed)
    full = Sampling.model_validate({"steps": steps, "sampler": sampler, "guidance": guidance})
    fast, without = fast_boards(wanted)
    boards = {FULL: model_boards(wanted, full), RECIPE: fast, WITHOUT: without}
    with tempfile.TemporaryDirectory() as store:
        environment = {STORE: store}
        with (
            Supervisor(repository, environment=environment, canary_seconds=0) as server,
            StoryboardClient(server.grpc_url) as client,
        ):
            pixels, seconds = in_turns(client, boards)
    reader = load_reader(reader_file)
    ways = {name: figures(pixels[name], seconds[name], wanted, reader) for name in boards}
    document = {
        **provenance(
            repository,
            shlex.join(["python", "-m", "benchmarks.few_steps", *sys.argv[1:]]),
            ("torch", "openvino", "tritonclient", "nvidia-pytriton"),
        ),
        "panels": count,
        **ways,
        "few_steps": compared(ways[RECIPE], ways[FULL], seconds[RECIPE], seconds[FULL]),
        "allowed": dict(ALLOWED),
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "few_steps.json").write_text(json.dumps(document, indent=1) + "\n")
    for name in boards:
        save_grid(pixels[name][:16], results / f"few_steps_{name}.png")
    Console().print(_table(document))


def model_boards(
    wanted: Sequence[Wanted], sampling: Sampling, injection: Injection | None = None
) -> list[Storyboard]:
    """The storyboards of `benchmarks.identity` at the model's size, drawn by the model itself.

    injection: default that of a storyboard which says nothing.
    """
    size = {"width": SIDE, "height": SIDE}
    boards = storyboards(wanted, injection or Injection(), sampling)
    return [board.model_copy(update=size) for board in boards]


def fast_boards(wanted: Sequence[Wanted]) -> tuple[list[Storyboard], list[Storyboard]]:
    """The same, drawn as the recipe says; and without the recipe's variant."""
    recipe = read_recipe(RECIPE)
    injection = Injection.model_validate(recipe.get("injection", {}))
    boards = model_boards(wanted, Sampling.model_validate(recipe["sampling"]), injection)
    return [board.model_copy(update={"variant": recipe["variant"]}) for board in boards], boards


def in_turns(
    client: StoryboardClient, boards: dict[str, list[Storyboard]]
) -> tuple[dict[str, Pixels], dict[str, list[float]]]:
    """Panels (N, H, W, 3) of each way, and the seconds of each of its storyboards.

    Raises RuntimeError if a panel fails or is not drawn anew.
    """
    for name in boards:
        _drawn(client, _reseeded(boards[name][0]))
    pixels: dict[str, list[Pixels]] = {name: [] for name in boards}
    seconds: dict[str, list[float]] = {name: [] for name in boards}
    for turn in track(range(len(boards[FULL])), description="storyboards"):
        for name in boards if turn % 2 else reversed(boards):
            began = time.perf_counter()
            panels = _drawn(client, boards[name][turn])
            seconds[name].append(time.perf_counter() - began)
            pixels[name].append(panels)
    return {name: np.concatenate(parts) for name, parts in pixels.items()}, seconds


def _reseeded(board: Storyboard) -> Storyboard:
    """The same work with other pictures, so that the store does not answer later ones."""
    panels = tuple(p.model_copy(update={"seed": 900_000 + i}) for i, p in enumerate(board.panels))
    return board.model_copy(update={"panels": panels})


def _drawn(client: StoryboardClient, board: Storyboard) -> Pixels:
    panels = client.draw_all(board)
    if any(panel.kept for panel in panels):
        raise RuntimeError("kept: got panels of the store, allowed: all drawn anew")
    return np.stack([pixels_of(panel.png) for panel in panels])


def figures(
    pixels: Pixels, seconds: Sequence[float], wanted: Sequence[Wanted], reader: Reader
) -> dict[str, Any]:
    """What the panels show, each with its 95% interval, and panels per second over all."""
    return {
        **shown_figures(reader.read(from_pixels(pixels)), wanted),
        "panels_per_second": len(pixels) / sum(seconds),
        "storyboard_seconds": {"least": min(seconds), "median": float(np.median(seconds))},
    }


def shown_figures(read: Sequence[Reading], wanted: Sequence[Wanted]) -> dict[str, Any]:
    """Action, scene and identity of what was read in panels, each with its 95% interval."""
    pairs = list(zip(read, wanted, strict=True))
    return {
        "action": share_interval([r.action == w.action for r, w in pairs]),
        "scene": share_interval([r.scene == w.scene for r, w in pairs]),
        "identity": mean_interval([match(r, w.identity, w.visible) for r, w in pairs]),
    }


def compared(
    fast: Mapping[str, Any],
    full: Mapping[str, Any],
    fast_seconds: Sequence[float],
    full_seconds: Sequence[float],
) -> dict[str, Any]:
    """The fast way's figures as they are, with `share` of the full ones, and `speed_up`.

    speed_up: ratio of panels per second, over the storyboards of each turn.
    """
    found = {
        name: {**fast[name], "share": fast[name]["mean"] / full[name]["mean"]} for name in READ
    }
    ratios = [a / b for a, b in zip(full_seconds, fast_seconds, strict=True)]
    return {**found, "speed_up": mean_interval(ratios)}


def _table(document: Mapping[str, Any]) -> Table:
    table = Table("way", *READ, "panels/s")
    for way in (FULL, RECIPE, WITHOUT):
        means = (f"{document[way][name]['mean']:.3f}" for name in READ)
        table.add_row(way, *means, f"{document[way]['panels_per_second']:.2f}")
    few = document["few_steps"]
    shares = (f"{few[name]['share']:.3f}" for name in READ)
    table.add_row("share", *shares, f"{few['speed_up']['mean']:.1f} times")
    return table


if __name__ == "__main__":
    torch.set_num_threads(2)
    typer.run(main)
