"""Stage `pack`: the trained model as a diffusers folder in float16, with the reader beside it."""

import shutil
from pathlib import Path

from lafi_tiny.architecture import Architecture, save_pipeline
from lafi_tiny.dataset import DatasetSpec
from lafi_tiny.train_denoiser import load_denoiser, make_tokenizer
from lafi_tiny.train_reader import READER_FILE
from lafi_tiny.train_vae import load_vae


def pack_model(folder: Path, out: Path) -> int:
    """Write `out` anew; returns its size in bytes."""
    arch, spec = Architecture(), DatasetSpec()
    model = load_denoiser(arch, folder, spec)
    if out.exists():
        shutil.rmtree(out)
    save_pipeline(
        out,
        vae=load_vae(arch, folder).half(),
        unet=model.unet.half(),
        text_encoder=model.text_encoder.half(),
        tokenizer=make_tokenizer(spec),
    )
    if (folder / READER_FILE).exists():
        shutil.copy(folder / READER_FILE, out.parent / READER_FILE)
    return sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
