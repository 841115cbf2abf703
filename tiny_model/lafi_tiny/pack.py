"""Stages `pack` and `unpack`: training state to a diffusers folder in float16, and back."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from lafi_tiny.architecture import BUNDLED, Architecture, save_pipeline
from lafi_tiny.text_to_latent import (
    WEIGHTS_FILE,
    TextToLatent,
    load_denoiser,
    stage_tokenizer,
)
from lafi_tiny.train_reader import READER_FILE
from lafi_tiny.train_vae import VAE_FILE, load_vae
from lafi_tiny.training import save_state


def pack_model(folder: Path, out: Path, arch: Architecture = BUNDLED) -> int:
    """Write `out` anew and the reader beside it; returns the size of both in bytes."""
    model = load_denoiser(arch, folder)
    if out.exists():
        shutil.rmtree(out)
    save_pipeline(
        out,
        vae=load_vae(arch, folder).half(),
        unet=model.unet.half(),
        text_encoder=model.text_encoder.half(),
        tokenizer=stage_tokenizer(folder),
    )
    _load_as_float32(out / "text_encoder" / "config.json")
    reader = out.parent / READER_FILE
    shutil.copy(folder / READER_FILE, reader)
    return sum(file.stat().st_size for file in (*out.rglob("*"), reader) if file.is_file())


def _load_as_float32(config: Path) -> None:
    """transformers loads at the dtype of the file, diffusers in float32: make them agree."""
    fields = {**json.loads(config.read_text()), "dtype": "float32"}
    config.write_text(json.dumps(fields, indent=2) + "\n")


def unpack_model(weights: Path, folder: Path, arch: Architecture = BUNDLED) -> None:
    """Turn a packed model into training state, so that its training can go on elsewhere.

    The optimizers' moments are not packed and begin anew. Raises FileExistsError rather than
    overwrite training state.
    """
    states = (folder / VAE_FILE, folder / WEIGHTS_FILE)
    for path in states:
        if path.exists():
            raise FileExistsError(f"{path}: it is there already; allowed: a folder without it")
    pipeline = StableDiffusionPipeline.from_pretrained(weights, dtype=torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    pipeline.tokenizer.save_pretrained(folder / "tokenizer")
    save_state(states[0], {"step": 0, "vae": pipeline.vae.state_dict(), "optimizer": {}})
    model = TextToLatent(arch, pipeline.tokenizer)
    model.unet.load_state_dict(pipeline.unet.state_dict())
    model.text_encoder.load_state_dict(pipeline.text_encoder.state_dict())
    network = model.state_dict()
    state = {"step": 0, "model": network, "average": network, "updates": 0, "optimizer": {}}
    save_state(states[1], state)
    shutil.copy(weights.parent / READER_FILE, folder / READER_FILE)
