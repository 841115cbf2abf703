"""Stages `evaluate` and `pack`: all figures of the best checkpoint, and the model as a folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from lafi_tiny.architecture import build_noise_schedule
from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.draw import draw_pictures
from lafi_tiny.stages.reader import load_reader
from lafi_tiny.stages.score import ScoreSizes, score_model
from lafi_tiny.stages.text_to_latent import load_denoiser
from lafi_tiny.stages.tokenizer import stage_tokenizer
from lafi_tiny.stages.train_reader import READER_FILE
from lafi_tiny.training import save_grid, to_pixels

STEPS, GUIDANCE = 30, 4.0


def evaluate(plan: Blueprint, folder: Path, sizes: ScoreSizes) -> dict[str, Any]:
    """Figures of the best checkpoint without injection, with grids; also in `evaluation.json`."""
    tokenizer, vae = stage_tokenizer(folder), load_average(plan, folder)
    model = load_denoiser(plan, folder, tokenizer)

    def draw(captions: list[str], name: str) -> Tensor:
        images = draw_pictures(
            model, vae, tokenizer, captions, seed=sizes.seed, steps=STEPS, guidance=GUIDANCE
        )
        save_grid(to_pixels(images[:64]), folder / "grids" / f"evaluated_{name}.png", zoom=1)
        return images

    figures = score_model(sizes, load_reader(folder / READER_FILE), draw)
    (folder / "evaluation.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def pack_model(plan: Blueprint, folder: Path, out: Path) -> int:
    """Write `out` anew in float16 and the reader beside it; returns the size of both in bytes."""
    tokenizer = stage_tokenizer(folder)
    model = load_denoiser(plan, folder, tokenizer)
    if out.exists():
        shutil.rmtree(out)
    StableDiffusionPipeline(
        vae=load_average(plan, folder).to(torch.float16),
        unet=model.unet.to(torch.float16),
        text_encoder=model.text_encoder.to(torch.float16),
        tokenizer=tokenizer,
        scheduler=build_noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(out, safe_serialization=True)
    _load_as_float32(out / "text_encoder" / "config.json")
    reader = out.parent / READER_FILE
    shutil.copy(folder / READER_FILE, reader)
    return sum(file.stat().st_size for file in (*out.rglob("*"), reader) if file.is_file())


def _load_as_float32(config: Path) -> None:
    """transformers loads at the dtype of the file, diffusers in float32: make them agree."""
    fields = {**json.loads(config.read_text()), "dtype": "float32"}
    config.write_text(json.dumps(fields, indent=2) + "\n")
