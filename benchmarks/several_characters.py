"""Does each of two or three characters in a panel keep its own attributes?

    python -m benchmarks.several_characters out/repository --characters 2

All variants draw the same panels from the same noise: with or without references, each limited to
its region or not, and with or without words that name two attributes of each character, which act
everywhere or in its region. The reader reads each character's share of the panel by itself.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.evaluation.drawing import drawn_panels, pixels_of
from benchmarks.provenance import provenance
from benchmarks.several.casts import Cast, Way, casts, real_pictures, storyboards, ways
from benchmarks.several.confusion import Pixels, figures, read_figures
from lafi.board.injection import Injection
from lafi.board.stages import Sampling
from lafi.drawing.images import to_pixels, to_tensor
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.ports.engines import Engines
from lafi_tiny.hand.picture import SIDE
from lafi_tiny.hand.reference_sheet import reference_png
from lafi_tiny.stages.reader import load_reader
from lafi_tiny.training import save_grid

INJECTIONS = {
    "none": Injection(layers="none"),
    "decoder, noise 0.1, strength 1": Injection(reference_noise=0.1, strength=1.0),
    "decoder": Injection.as_published(),
}
FLOOR = "real pictures through the VAE"
SHOWN = 8
"""Panels of each variant in the grid of pictures."""
COLUMNS = ("own", "other", "own_wins", "named_own", "named_other", "identity", "action")
Figures = dict[str, dict[str, Any]]


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    panels: Annotated[int, typer.Option(help="panels of each way")] = 32,
    characters: Annotated[int, typer.Option(min=2, max=3, help="in a panel")] = 2,
    steps: int = 12,
    guidance: float = 4.0,
    seed: int = 5,
    threads: Annotated[int, typer.Option(help="of the engines; 0: all cores")] = 0,
    reader_file: Path = Path("tiny_model/reader.safetensors"),
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw, read, print, and write several_characters_N.json, a plot and a grid of pictures.

    They are written after each variant, so a stopped run keeps its results.
    """
    if panels < 2:
        raise typer.BadParameter(f"panels: got {panels}, allowed 2 or more")
    engines = load_onnx_engines(repository / "artifacts", "openvino", "f32", threads)
    sampling = Sampling.model_validate({"steps": steps, "guidance": guidance})
    results.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.several_characters {repository} --characters {characters}"
    command += f" --panels {panels} --steps {steps} --guidance {guidance:g} --seed {seed}"
    document = {
        **provenance(repository, command, ("torch", "diffusers", "openvino")),
        "characters": characters,
        "panels": panels,
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
    }
    found: Figures = {}
    for found in _measured(
        casts(panels, characters, seed=seed), engines, reader_file, sampling, results
    ):
        text = json.dumps(document | {"ways": found}, indent=2) + "\n"
        (results / f"several_characters_{characters}.json").write_text(text, encoding="utf-8")
        _plot(found, results / f"several_characters_{characters}.png")
    Console(highlight=False).print(_table(found))


def _measured(
    given: list[Cast],
    engines: Engines,
    reader_file: Path,
    sampling: Sampling,
    results: Path,
) -> Iterator[Figures]:
    """The results after each variant; also updates the grid of pictures."""
    reader, console = load_reader(reader_file), Console(highlight=False)
    count = len(given[0].identities)
    found: Figures = {}
    found[FLOOR] = figures(read_figures(reader, given, _through_vae(given, engines)))
    grid = results / f"several_characters_{count}_panels.png"
    shown = [_references(cast) for cast in given[:SHOWN]]
    for way in ways(INJECTIONS):
        drawn = draw_way(given, way, engines, sampling)
        found[way.name] = figures(read_figures(reader, given, drawn))
        shown += [*drawn[:SHOWN]]
        console.print(f"{count} characters, {way.name}: {_line(found[way.name])}")
        save_grid(np.stack(shown), grid, columns=min(SHOWN, len(given)), zoom=1)
        yield found


def draw_way(given: list[Cast], way: Way, engines: Engines, sampling: Sampling) -> Pixels:
    """RGB uint8 (panels, 128, 128, 3). Raises RuntimeError if a panel fails."""
    boards = storyboards(given, way, sampling)
    return np.stack(
        [pixels for board in boards for pixels in drawn_panels(board, engines, way.name)]
    )


def _references(cast: Cast) -> Pixels:
    """The middle parts of the cast's references side by side, as wide as a panel."""
    count = len(cast.identities)
    edges = [round(i * SIDE / count) for i in range(count + 1)]
    parts = []
    for i, who in enumerate(cast.identities):
        width = edges[i + 1] - edges[i]
        left = (SIDE - width) // 2
        parts.append(pixels_of(reference_png(who, seed=cast.seed + i))[:, left : left + width])
    return np.concatenate(parts, axis=1)


def _through_vae(given: list[Cast], engines: Engines) -> Pixels:
    images = torch.stack([to_tensor(np.asarray(picture)) for picture in real_pictures(given)])
    return np.stack(
        [to_pixels(image) for image in engines.vae_decoder(engines.vae_encoder(images))]
    )


def _value(figure: dict[str, float] | None) -> str:
    return "-" if figure is None else f"{figure['value']:.3f}"


def _line(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_value(found[name])}" for name in COLUMNS)


def _table(found: Figures) -> Table:
    table = Table("way", *COLUMNS)
    for name, way in found.items():
        table.add_row(name, *(_value(way[column]) for column in COLUMNS))
    return table


def _plot(found: Figures, path: Path) -> None:
    """Plots the confusion matrix of each variant."""
    columns = 5
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.2 * columns, 2.6 * rows), squeeze=False)
    for place in axes.flat[len(found) :]:
        place.set_axis_off()
    for place, (name, way) in zip(axes.flat, found.items(), strict=False):
        matrix = np.array(way["matrix"])
        place.imshow(matrix, vmin=0.0, vmax=1.0, cmap="Blues")
        for (i, j), share in np.ndenumerate(matrix):
            colour = "white" if share > 0.6 else "black"
            place.text(j, i, f"{share:.2f}", ha="center", va="center", color=colour)
        place.set_title(name.replace(", ", ",\n").replace("; ", ";\n"), fontsize=8)
        place.set_xticks([])
        place.set_yticks([])
    axes[0, 0].set_ylabel("figure in share", fontsize=8)
    axes[0, 0].set_xlabel("looks like character", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    typer.run(main)
