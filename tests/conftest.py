"""Fixtures every test may use: a complete but tiny checkpoint with random weights."""

import fcntl
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `StableDiffusionPipeline` folder: 4 latent channels, VAE factor 4, text (48, 64)."""
    import torch

    from lafi_tiny.architecture import (
        Architecture,
        build_text_encoder,
        build_unet,
        build_vae,
        save_pipeline,
    )
    from lafi_tiny.tokenizer import build_tokenizer

    torch.manual_seed(0)
    arch = Architecture(
        side=32,
        latent_channels=4,
        vae_widths=(8, 16, 16),
        unet_widths=(16, 32, 32),
        unet_heads=(2, 2, 4),
        text_width=64,
        text_layers=1,
        norm_groups=8,
        vae_norm_groups=8,
    )
    tokenizer = build_tokenizer(
        ["a child is running on the beach at night", "孩子在海滩上"] * 3, 600
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    save_pipeline(
        folder,
        vae=build_vae(arch, scaling_factor=0.5),
        unet=build_unet(arch),
        text_encoder=build_text_encoder(arch, tokenizer),
        tokenizer=tokenizer,
    )
    return folder


@pytest.fixture(scope="session")
def small_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a published architecture -> a folder of it with small widths, random; read only."""
    from lafi_export.random_checkpoint import random_checkpoint

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        random_checkpoint(name, folder, size="small")  # type: ignore[arg-type]
        return folder

    return made


@pytest.fixture(scope="session")
def repository(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `lafi export` makes of `checkpoint`, denoiser included; read only.

    Tracing takes most of a minute, so parallel test processes share one export.
    """
    from lafi_export import export_checkpoint

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "repository"
    with (shared / "repository.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            export_checkpoint(checkpoint, folder, runtime="onnxruntime", denoiser=True)
    return folder
