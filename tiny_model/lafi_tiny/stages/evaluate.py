"""All figures of a model: held-out captions drawn without injection, and read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL
from torch import Tensor

from lafi_tiny.stages.denoising_model import DenoisingModel
from lafi_tiny.stages.draw import draw_pictures
from lafi_tiny.stages.reader import load_reader
from lafi_tiny.stages.score import ScoreSizes, score_model
from lafi_tiny.stages.train_reader import READER_FILE
from lafi_tiny.training import save_grid, to_pixels


@dataclass(frozen=True, slots=True)
class Drawing:
    """What draws, in how many steps, and with how much guidance."""

    model: DenoisingModel
    tokenizer: Any
    vae: AutoencoderKL
    steps: int
    guidance: float


def evaluate_model(drawing: Drawing, folder: Path, sizes: ScoreSizes, file: str) -> dict[str, Any]:
    """Figures by the folder's reader, with grids; also written into `file` of the folder."""
    grids = Path(file).stem.replace("evaluation", "evaluated")

    def draw(captions: list[str], name: str) -> Tensor:
        images = draw_pictures(
            drawing.model,
            drawing.vae,
            drawing.tokenizer,
            captions,
            seed=sizes.seed,
            steps=drawing.steps,
            guidance=drawing.guidance,
        )
        save_grid(to_pixels(images[:64]), folder / "grids" / f"{grids}_{name}.png", zoom=1)
        return images

    figures = score_model(sizes, load_reader(folder / READER_FILE), draw)
    (folder / file).write_text(json.dumps(figures, indent=2) + "\n")
    return figures
