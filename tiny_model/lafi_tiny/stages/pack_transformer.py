"""All figures of the small transformer's best checkpoint, and the transformer as a folder."""

import shutil
from pathlib import Path
from typing import Any

from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.denoising_model import load_recipe
from lafi_tiny.stages.evaluate import Drawing, evaluate_model
from lafi_tiny.stages.pack import load_as_float32
from lafi_tiny.stages.score import ScoreSizes
from lafi_tiny.stages.text_to_flow import TextToFlow, transformer_recipe
from lafi_tiny.stages.transformer_blueprint import TransformerBlueprint, save_transformer

STEPS, GUIDANCE = 20, 4.0


def evaluate_transformer(
    plan: Blueprint, small: TransformerBlueprint, folder: Path, sizes: ScoreSizes
) -> dict[str, Any]:
    """Figures of the best checkpoint without injection, with grids; also in the folder.

    Guidance is neg + s (pos - neg); the number that ZImagePipeline takes is one less.
    """
    recipe = transformer_recipe(plan, small)
    model, tokenizer = load_recipe(recipe, folder)
    drawing = Drawing(model, tokenizer, load_average(plan, folder), STEPS, GUIDANCE)
    return evaluate_model(drawing, folder, sizes, recipe.files.figures)


def pack_transformer(plan: Blueprint, small: TransformerBlueprint, folder: Path, out: Path) -> int:
    """Write `out` anew as a `ZImagePipeline` folder in float16; returns its size in bytes."""
    model, tokenizer = load_recipe(transformer_recipe(plan, small), folder)
    assert isinstance(model, TextToFlow)
    if out.exists():
        shutil.rmtree(out)
    save_transformer(
        out,
        plan,
        small=small,
        vae=load_average(plan, folder),
        transformer=model.transformer,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
    )
    load_as_float32(out / "text_encoder" / "config.json")
    return sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
