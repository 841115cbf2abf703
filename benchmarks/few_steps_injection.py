"""With which injection the recipe `fast` draws: settings held against each other on other panels.

    python -m benchmarks.few_steps_injection out/repository

Guidance weighs the words four times and the reference, which both of its rows read, once. In four
steps without guidance the words have been learnt with their weight and the reference comes on top,
so the settings that suit thirty steps may read too much. The panels are held-out ones of another
seed than those of `benchmarks.few_steps`.

Rule, written before any figure of it was seen: of the settings whose action and scene are at least
0.95 of those that thirty steps with the default injection show on the same panels, the one with
the greatest identity; `none` if there is no such setting. The recipe gets it.
"""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.evaluation.drawing import drawn_panels
from benchmarks.few_steps import FULL, READ, RECIPE, model_boards, shown_figures
from benchmarks.provenance import provenance
from lafi.board.injection import Injection
from lafi.board.recipe import read_recipe
from lafi.board.stages import Sampling
from lafi.board.storyboard import Storyboard
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.ports.engines import Engines
from lafi_tiny.stages.agreement import Wanted, held_out_wanted
from lafi_tiny.stages.reader import Reader, load_reader
from lafi_tiny.training import from_pixels

LEAST: Final = 0.95
NONE: Final = "none"
SETTINGS: Final[Mapping[str, dict[str, Any]]] = {
    NONE: {"layers": "none"},
    "default": {},
    "strength 0": {"strength": 0},
    "strength -1": {"strength": -1},
    "strength -2": {"strength": -2},
    "from step 2": {"start": 0.25},
    "from step 2, strength 0": {"start": 0.25, "strength": 0},
    "from step 2, to the end": {"start": 0.25, "end": 1},
    "from step 3": {"start": 0.5},
    "from step 3, to the end": {"start": 0.5, "end": 1},
    "balanced": {"layers": "balanced"},
    "balanced, from step 2": {"layers": "balanced", "start": 0.25},
    "texture": {"layers": "texture"},
}


def main(
    repository: Annotated[Path, typer.Argument(help="The bundled model with its variant `fast`.")],
    count: Annotated[int, typer.Option(help="held-out triples, a panel each")] = 64,
    seed: Annotated[int, typer.Option(help="which triples")] = 29,
    threads: int = 2,
    reader_file: Path = Path("tiny_model/reader.safetensors"),
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw, read, and write few_steps_injection.json."""
    torch.set_num_threads(threads)
    reader, wanted = load_reader(reader_file), held_out_wanted(count, seed)
    engines = {
        variant: load_onnx_engines(folder, runtime="openvino", precision="f32")
        for variant, folder in _folders(repository).items()
    }
    plain = Sampling.model_validate({"steps": 30, "sampler": "DDIM", "guidance": 4.0})
    full = _read(model_boards(wanted, plain), engines[""], wanted, reader)
    fast = Sampling.model_validate(read_recipe(RECIPE)["sampling"])
    found = {}
    for name, settings in SETTINGS.items():
        injection = Injection.model_validate(settings)
        boards = model_boards(wanted, fast, injection)
        found[name] = _read(boards, engines[RECIPE], wanted, reader)
    command = shlex.join(["python", "-m", "benchmarks.few_steps_injection", *sys.argv[1:]])
    document = {
        **provenance(repository, command, ("torch", "openvino")),
        "panels": count,
        FULL: full,
        "settings": {name: {"injection": SETTINGS[name], **found[name]} for name in found},
        "chosen": chosen(full, found),
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "few_steps_injection.json").write_text(json.dumps(document, indent=1) + "\n")
    Console().print(_table(document))


def chosen(full: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> str:
    """The setting that the rule names."""
    good = [
        name
        for name, each in found.items()
        if name != NONE
        and all(each[f]["mean"] >= LEAST * full[f]["mean"] for f in ("action", "scene"))
    ]
    return max(good, key=lambda name: float(found[name]["identity"]["mean"]), default=NONE)


def _folders(repository: Path) -> dict[str, Path]:
    artifacts = repository / "artifacts"
    return {"": artifacts, RECIPE: artifacts / "variants" / RECIPE}


def _read(
    boards: Sequence[Storyboard], engines: Engines, wanted: Sequence[Wanted], reader: Reader
) -> dict[str, Any]:
    panels = [pixels for board in boards for pixels in drawn_panels(board, engines, "panels")]
    return shown_figures(reader.read(from_pixels(np.stack(panels))), wanted)


def _table(document: Mapping[str, Any]) -> Table:
    table = Table("injection", *READ, title=f"chosen: {document['chosen']}")
    for name, each in {FULL: document[FULL], **document["settings"]}.items():
        table.add_row(name, *(f"{each[figure]['mean']:.3f}" for figure in READ))
    return table


if __name__ == "__main__":
    typer.run(main)
