"""Hardly any weights, and chunks of a few pictures."""

import shutil
from pathlib import Path

import pytest
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from lafi_tiny import training
from lafi_tiny.stages import latent_store
from lafi_tiny.stages.autoencoder import AutoencoderTraining, load_average, train_autoencoder
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.text_to_latent import BEST_FILE, TextToLatent
from lafi_tiny.stages.tokenizer import stage_tokenizer
from lafi_tiny.training import save_state

PLAN = Blueprint(
    latent_channels=4,
    vae_widths=(8, 8, 8, 16),
    unet_widths=(16, 16, 32),
    unet_heads=(2, 2, 4),
    norm_groups=8,
    text_width=32,
    text_layers=1,
    text_heads=2,
)


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn in float32 also where bfloat16 is faster: what diffusers draws is compared with it."""
    monkeypatch.setattr(training, "_cpu_has_bf16", lambda: False)


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of latents is of 20 pictures."""
    monkeypatch.setattr(latent_store, "CHUNK", 20)


@pytest.fixture(scope="session")
def plan() -> Blueprint:
    """Full-sized pictures, hardly any weights."""
    return PLAN


@pytest.fixture(scope="session")
def with_autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer and an autoencoder of two steps; read only."""
    folder = tmp_path_factory.mktemp("stages")
    train_autoencoder(PLAN, AutoencoderTraining(steps=2, batch=2), folder)
    stage_tokenizer(folder, captions=500)
    return folder


@pytest.fixture
def vae(with_autoencoder: Path) -> AutoencoderKL:
    """That autoencoder."""
    return load_average(PLAN, with_autoencoder)


@pytest.fixture
def tokenizer(with_autoencoder: Path) -> CLIPTokenizer:
    """That tokenizer."""
    return stage_tokenizer(with_autoencoder)


@pytest.fixture
def with_denoiser(
    plan: Blueprint, with_autoencoder: Path, tokenizer: CLIPTokenizer, tmp_path: Path
) -> Path:
    """A folder with a denoiser of random weights."""
    run = Path(shutil.copytree(with_autoencoder, tmp_path / "run"))
    average = TextToLatent(plan, tokenizer).state_dict()
    save_state(run / BEST_FILE, {"step": 0, "average": average})
    return run
