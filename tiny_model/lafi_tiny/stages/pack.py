"""All figures of the best checkpoint, the model as a folder, and training state made of that."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from torch import nn

from lafi_tiny.stages.autoencoder import STATE_FILE as AUTOENCODER_FILE
from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.blueprint import Blueprint, save_pipeline
from lafi_tiny.stages.denoising_model import Namer
from lafi_tiny.stages.evaluate import Drawing, evaluate_model
from lafi_tiny.stages.few_steps import FAST_FOLDER
from lafi_tiny.stages.score import ScoreSizes
from lafi_tiny.stages.stage_folder import has_finished, mark_finished
from lafi_tiny.stages.text_to_latent import DENOISER, STATE_FILE, TextToLatent, load_denoiser
from lafi_tiny.stages.tokenizer import stage_tokenizer
from lafi_tiny.stages.train_denoiser import DenoiserTraining, build_optimizer
from lafi_tiny.stages.train_reader import READER_FILE
from lafi_tiny.training import save_state

STEPS, GUIDANCE = 30, 4.0
PACKED_LORA = "fast.safetensors"
"""The LoRA of the stage `few_steps`, beside the packed model."""


def evaluate(plan: Blueprint, folder: Path, sizes: ScoreSizes) -> dict[str, Any]:
    """Figures of the best checkpoint without injection, with grids; also in `evaluation.json`."""
    tokenizer = stage_tokenizer(folder)
    model = load_denoiser(plan, folder, tokenizer)
    drawing = Drawing(model, tokenizer, load_average(plan, folder), STEPS, GUIDANCE)
    return evaluate_model(drawing, folder, sizes, DENOISER.figures)


def pack_model(plan: Blueprint, folder: Path, out: Path) -> int:
    """Write `out` anew in float16, and beside it the reader and the LoRA of few steps.

    A LoRA of an earlier model is removed where `folder` has none. Returns the bytes of all.
    """
    tokenizer = stage_tokenizer(folder)
    model = load_denoiser(plan, folder, tokenizer)
    if out.exists():
        shutil.rmtree(out)
    save_pipeline(
        out,
        vae=load_average(plan, folder).to(torch.float16),
        unet=model.unet.to(torch.float16),
        text_encoder=model.text_encoder.to(torch.float16),
        tokenizer=tokenizer,
    )
    load_as_float32(out / "text_encoder" / "config.json")
    reader = out.parent / READER_FILE
    shutil.copy(folder / READER_FILE, reader)
    fast = out.parent / PACKED_LORA
    fast.unlink(missing_ok=True)
    if has_finished(folder, "few_steps"):
        shutil.copy(folder / FAST_FOLDER / LORA_WEIGHT_NAME_SAFE, fast)
    written = (*out.rglob("*"), reader, fast)
    return sum(file.stat().st_size for file in written if file.is_file())


def load_as_float32(config: Path) -> None:
    """transformers loads at the dtype of the file, diffusers in float32: make them agree."""
    fields = {**json.loads(config.read_text()), "dtype": "float32"}
    config.write_text(json.dumps(fields, indent=2) + "\n")


def unpack_model(plan: Blueprint, weights: Path, folder: Path) -> None:
    """Make of a packed model the state from which its training goes on with a new optimizer.

    Autoencoder and reader are finished then, and the denoiser begins with the packed weights.
    Raises FileExistsError rather than overwrite training state.
    """
    states = (folder / AUTOENCODER_FILE, folder / STATE_FILE)
    for path in states:
        if path.exists():
            raise FileExistsError(f"{path}: it is there already; allowed: a folder without it")
    pipeline = StableDiffusionPipeline.from_pretrained(weights, dtype=torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    pipeline.tokenizer.save_pretrained(folder / "tokenizer")
    factor = pipeline.vae.config.scaling_factor
    save_state(states[0], {"average": pipeline.vae.state_dict(), "scaling_factor": factor})
    model = TextToLatent(plan, pipeline.tokenizer)
    model.unet.load_state_dict(pipeline.unet.state_dict())
    model.text_encoder.load_state_dict(pipeline.text_encoder.state_dict())
    both = nn.ModuleDict({"model": model, "namer": Namer(model.middle)})
    optimizer = build_optimizer(both, DenoiserTraining())
    network = {"both": both.state_dict(), "average": model.state_dict()}
    rest = {"step": 0, "updates": 0, "optimizer": optimizer.state_dict()}
    save_state(states[1], network | rest)
    shutil.copy(weights.parent / READER_FILE, folder / READER_FILE)
    for stage in ("autoencoder", "reader"):
        mark_finished(folder, stage)
