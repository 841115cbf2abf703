"""Identity against obedience: what injection does on held-out (character, action, scene) triples.

    python benchmarks/identity.py out/repository

Every setting draws the same panels from the same noise; only the injection differs. A small
reader, trained only on renders, reads the character and the action in each panel.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lafi.board.injection import Injection
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.wire.events import PanelImage
from lafi_tiny.hand.caption import plain_caption
from lafi_tiny.hand.reference_sheet import reference_png
from lafi_tiny.stages.agreement import Wanted, held_out_wanted
from lafi_tiny.stages.reader import Reader, load_reader
from lafi_tiny.stages.scores import Scores, score
from lafi_tiny.training import from_pixels, save_grid

SETTINGS: dict[str, Injection] = {
    "none": Injection(layers="none"),
    "decoder": Injection.as_published(layers="decoder"),
    "balanced": Injection.as_published(layers="balanced"),
    "texture": Injection.as_published(layers="texture"),
    "all": Injection.as_published(layers="all"),
    "decoder, noise 0.1": Injection.as_published(reference_noise=0.1),
    "decoder, noise 0.3": Injection.as_published(reference_noise=0.3),
    "decoder, strength 1": Injection.as_published(strength=1.0),
    "decoder, noise 0.1, strength 1": Injection(
        layers="decoder", reference_noise=0.1, strength=1.0
    ),
    "all, noise 0.1": Injection.as_published(layers="all", reference_noise=0.1),
}

COLUMNS = ("identity", "action", "place", "light", "scene")
Figures = dict[str, dict[str, Any]]


def storyboards(
    wanted: Sequence[Wanted], injection: Injection, sampling: Sampling
) -> list[Storyboard]:
    """Storyboards of up to eight panels, one character each; prompts do not describe looks."""
    boards = []
    for start in range(0, len(wanted), 8):
        part = wanted[start : start + 8]
        characters = tuple(
            Character(
                name=f"c{i}",
                prompt="a child",
                reference=ReferenceImage(data=reference_png(w.identity, seed=start + i)),
            )
            for i, w in enumerate(part)
        )
        panels = tuple(
            Panel(prompt=plain_caption(w.action, w.scene, who=f"{{c{i}}}"), seed=1000 + start + i)
            for i, w in enumerate(part)
        )
        boards.append(
            Storyboard(characters=characters, panels=panels, sampling=sampling, injection=injection)
        )
    return boards


def read_panels(reader: Reader, pixels: NDArray[np.uint8], wanted: Sequence[Wanted]) -> Scores:
    """Scores of RGB uint8 panels (N, H, W, 3)."""
    return score(reader.read(from_pixels(pixels)), wanted)


def main(
    repository: Path,
    reader_file: Path = Path("tiny_model/reader.safetensors"),
    count: int = 64,
    steps: int = 30,
    guidance: float = 4.0,
    seed: int = 11,
    only: Annotated[list[str] | None, typer.Option(help="Settings to run; default all.")] = None,
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw COUNT held-out triples under every setting and write table, plot and grids."""
    torch.set_num_threads(2)
    info = json.loads((repository / "artifacts" / "lafi.json").read_text())
    engines = load_onnx_engines(repository / "artifacts", runtime="openvino", precision="f32")
    reader = load_reader(reader_file)
    wanted = held_out_wanted(count, seed)
    sampling = Sampling.model_validate({"steps": steps, "guidance": guidance})
    figures: Figures = {}
    for name in only or SETTINGS:
        panels: list[NDArray[np.uint8]] = []
        boards = storyboards(wanted, SETTINGS[name], sampling)
        for board in track(boards, description=name):
            drawn = {e.panel: e.png for e in draw(board, engines) if isinstance(e, PanelImage)}
            panels += [_pixels(drawn[i]) for i in range(len(board.panels))]
        pixels = np.stack(panels)
        figures[name] = asdict(read_panels(reader, pixels, wanted))
        save_grid(pixels, results / f"identity_{name.replace(', ', '_').replace(' ', '_')}.png")
    references = np.stack(
        [_pixels(reference_png(w.identity, seed=i % 8)) for i, w in enumerate(wanted)]
    )
    figures["the references themselves"] = asdict(read_panels(reader, references, wanted))
    document = {
        "weights": info["weights_sha256"],
        "count": count,
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
        "figures": figures,
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "identity.json").write_text(json.dumps(document, indent=2) + "\n")
    _print(figures)
    _plot(figures, results / "identity.png")


def _pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _print(figures: Figures) -> None:
    table = Table("setting", *COLUMNS)
    for name, scores in figures.items():
        table.add_row(
            name,
            *(f"{scores[key]:.3f}" for key in COLUMNS),
        )
    Console().print(table)


def _plot(figures: Figures, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4.8))
    for name, scores in figures.items():
        if name == "the references themselves":
            continue
        axes.scatter(scores["action"], scores["identity"])
        axes.annotate(
            name,
            (scores["action"], scores["identity"]),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_xlabel("panels that show the requested action")
    axes.set_ylabel("identity attributes that match the reference")
    axes.set_title("Identity against obedience, held-out triples")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    typer.run(main)
