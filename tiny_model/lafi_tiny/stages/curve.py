"""The curve of all figures against pictures seen, and the best checkpoint by them."""

import json
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL
from torch import Tensor

from lafi_tiny.stages.denoising_model import DenoisingModel, Recipe
from lafi_tiny.stages.draw import draw_pictures
from lafi_tiny.stages.reader import load_reader
from lafi_tiny.stages.score import ScoreSizes, score_model, total
from lafi_tiny.training import save_grid, save_state, to_pixels

WATCHED = ScoreSizes(panels=40, twins=20, seed=12)
SHOWN = 40
"""Pictures in a grid."""


class Curve:
    """Measures checkpoints, always by the same captions and the same noise."""

    def __init__(self, recipe: Recipe, folder: Path, vae: AutoencoderKL, tokenizer: Any) -> None:
        self.recipe, self.folder, self.vae, self.tokenizer = recipe, folder, vae, tokenizer

    def add(self, model: DenoisingModel, *, step: int, pictures: int, loss: float) -> None:
        """Append a line of figures; keep the model if it is the best so far."""
        files, reader_file = self.recipe.files, self.folder / "reader.safetensors"
        if not reader_file.exists():
            return

        def draw(captions: list[str], name: str) -> Tensor:
            steps = self.recipe.watched_steps
            images = draw_pictures(
                model, self.vae, self.tokenizer, captions, seed=12, steps=steps
            ).cpu()
            grid = self.folder / "grids" / f"{files.name}_{step:06d}_{name}.png"
            save_grid(to_pixels(images[:SHOWN]), grid, zoom=1)
            return images

        figures = score_model(WATCHED, load_reader(reader_file), draw)
        row = {"step": step, "pictures": pictures, "loss": loss, "total": total(figures)}
        best = max((r["total"] for r in read_curve(self.folder, files.curve)), default=-1.0)
        with (self.folder / files.curve).open("a") as file:
            file.write(json.dumps({**row, **figures}) + "\n")
        if row["total"] > best:
            average = {k: v.half() for k, v in model.state_dict().items()}
            save_state(self.folder / files.best, {"step": step, "average": average})
        print(f"{files.name} step {step}: {describe_row(figures)}", flush=True)


def read_curve(folder: Path, file: str = "curve.jsonl") -> list[dict[str, Any]]:
    """All lines so far."""
    path = folder / file
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def describe_row(figures: dict[str, dict[str, float]]) -> str:
    """The means in one line."""
    return ", ".join(f"{name} {value['mean']:.2f}" for name, value in figures.items())
