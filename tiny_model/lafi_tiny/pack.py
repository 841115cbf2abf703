"""Stage `pack`: the trained model as a diffusers folder in float16, with the reader beside it."""

import shutil
from pathlib import Path

from lafi_tiny.architecture import BUNDLED, Architecture, save_pipeline
from lafi_tiny.text_to_latent import load_denoiser, stage_tokenizer
from lafi_tiny.train_reader import READER_FILE
from lafi_tiny.train_vae import load_vae


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
    reader = out.parent / READER_FILE
    shutil.copy(folder / READER_FILE, reader)
    return sum(file.stat().st_size for file in (*out.rglob("*"), reader) if file.is_file())
