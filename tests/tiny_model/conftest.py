"""One tiny run of all training stages, shared by the tests that need its files."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from diffusers import AutoencoderKL
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from lafi_tiny import dataset, latents, train_denoiser
from lafi_tiny.architecture import Architecture
from lafi_tiny.attributes import IDENTITY_CHOICES, Identity
from lafi_tiny.dataset import DatasetSpec, render_dataset
from lafi_tiny.text_to_latent import stage_tokenizer
from lafi_tiny.train_denoiser import DenoiserTraining
from lafi_tiny.train_reader import ReaderTraining, train_reader
from lafi_tiny.train_recogniser import cosine_rate
from lafi_tiny.train_vae import VaeTraining, load_vae, train_vae

PICTURES_A_CHUNK = 8
CHUNKS = 4

st.register_type_strategy(
    Identity,
    st.builds(Identity, **{k: st.sampled_from(v) for k, v in IDENTITY_CHOICES.items()}),
)
st.register_type_strategy(np.random.Generator, st.integers(0, 2**32 - 1).map(np.random.default_rng))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pictures in a chunk, in all tests here; and training is not watched."""
    _make_short(monkeypatch)
    return PICTURES_A_CHUNK


def _make_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "CHUNK", PICTURES_A_CHUNK)
    monkeypatch.setattr(latents, "CHUNK", PICTURES_A_CHUNK)
    monkeypatch.setattr(train_denoiser, "watch_training", lambda *_: "not watched")


@pytest.fixture
def stop_at_step_3(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[ModuleType, Callable[[], object]], None]:
    """Runs a training stage that is ended in step 3, as if its process had been."""

    class Stopped(Exception):
        """The end."""

    def run(stage: ModuleType, train: Callable[[], object]) -> None:
        def stop(step: int, steps: int, peak: float) -> float:
            if step == 3:
                raise Stopped
            return cosine_rate(step, steps, peak)

        with monkeypatch.context() as context:
            context.setattr(stage, "cosine_rate", stop)
            with pytest.raises(Stopped):
                train()

    return run


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """Full-sized pictures, hardly any weights."""
    return Architecture(
        side=64,
        latent_channels=4,
        vae_widths=(8, 8, 16),
        unet_widths=(16, 16, 32),
        unet_heads=(2, 2, 4),
        text_width=32,
        text_layers=1,
        text_heads=2,
        norm_groups=8,
    )


@pytest.fixture(scope="session")
def finished(tiny: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a finished run: two steps of every stage on 32 pictures; read only."""
    folder = tmp_path_factory.mktemp("tiny_model")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _make_short(monkeypatch)
        spec = DatasetSpec(side=tiny.side)
        list(render_dataset(spec, PICTURES_A_CHUNK * CHUNKS, folder / "pictures", workers=1))
        train_vae(tiny, VaeTraining(steps=2, batch=4), folder)
        train_denoiser.train_denoiser(tiny, DenoiserTraining(steps=2, batch=2), folder)
        train_reader(tiny, ReaderTraining(steps=2, batch=4), folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run to change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def vae(tiny: Architecture, finished: Path) -> AutoencoderKL:
    """The finished run's autoencoder, anew for every test."""
    return load_vae(tiny, finished)


@pytest.fixture(scope="session")
def tokenizer(finished: Path) -> CLIPTokenizer:
    """The finished run's tokenizer, which is the bundled model's too."""
    return stage_tokenizer(finished)
