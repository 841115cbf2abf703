"""The denoiser's stage: batches, loss, rate, resuming, the curve and the packed model."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_tiny.stages import curve as curves
from lafi_tiny.stages.batches import SAME_TWICE, Batches, sides
from lafi_tiny.stages.blueprint import TEXT_LENGTH, Blueprint
from lafi_tiny.stages.curve import read_curve
from lafi_tiny.stages.denoising_model import Namer
from lafi_tiny.stages.draw import draw_pictures
from lafi_tiny.stages.latent_store import LatentStore, encoder_fingerprint
from lafi_tiny.stages.noise import DiffusionNoise
from lafi_tiny.stages.pack import evaluate, pack_model
from lafi_tiny.stages.reader import Reader
from lafi_tiny.stages.samples import picture_of
from lafi_tiny.stages.score import ScoreSizes
from lafi_tiny.stages.stage_folder import has_finished
from lafi_tiny.stages.text_to_latent import (
    BEST_FILE,
    STATE_FILE,
    TextToLatent,
    load_denoiser,
)
from lafi_tiny.stages.tokenizer import token_ids
from lafi_tiny.stages.train_denoiser import (
    DenoiserTraining,
    denoising_loss,
    plan_finish,
    rate_share,
    train_denoiser,
)
from lafi_tiny.training import save_half

SHORT = DenoiserTraining(
    steps=2, decay_steps=1, batch=4, store=40, first_pictures=20, grow_every=1, watch_every=2
)


def store_of(folder: Path, vae: AutoencoderKL, most: int = 40) -> LatentStore:
    return LatentStore(folder, vae, seed=0, side=128, most=most)


def test_a_store_grows_to_its_most_and_is_read_back(tmp_path: Path, vae: AutoencoderKL) -> None:
    store = store_of(tmp_path, vae)
    assert [store.grow(), store.grow(), store.grow()] == [True, True, False]
    again = store_of(tmp_path, vae)
    assert len(again) == 40
    rows = np.array([3, 39])
    assert torch.equal(store.batch(rows), again.batch(rows))
    assert store.batch(rows).shape == (2, 4, 16, 16)


def test_workers_share_the_encoding(tmp_path: Path, vae: AutoencoderKL) -> None:
    first, second = (
        LatentStore(tmp_path, vae, seed=0, side=128, most=40, worker=i, workers=2) for i in (0, 1)
    )
    assert second.grow()
    assert len(second) == 0
    assert first.grow()
    assert len(first) == 40
    assert second.grow()
    assert len(second) == 40
    assert not second.grow()


def test_the_fingerprint_is_the_encoders(vae: AutoencoderKL) -> None:
    before = encoder_fingerprint(vae)
    with torch.no_grad():
        vae.decoder.conv_in.bias += 1
        assert encoder_fingerprint(vae) == before
        vae.encoder.conv_in.bias += 1
    assert encoder_fingerprint(vae) != before


def batches(tmp_path: Path, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> Batches:
    store = store_of(tmp_path, vae)
    store.grow()
    rng = np.random.default_rng(0)
    encode = partial(token_ids, tokenizer)
    shares = {"empty_captions": 0.1, "inpainted": 1.0}
    return Batches(store, encode, DiffusionNoise(), rng, size=16, **shares)


def test_a_batch_gives_half_of_every_picture_of_two(
    tmp_path: Path, vae: AutoencoderKL, tokenizer: CLIPTokenizer
) -> None:
    batch = batches(tmp_path, vae, tokenizer).draw()
    assert batch.token_ids.shape == (16, TEXT_LENGTH)
    assert set(batch.fresh.mean(dim=-1).flatten().tolist()) <= {0.5, 1.0}
    assert (batch.given_timesteps <= batch.timesteps).all()
    assert len(batch.targets.classes()["top"]) == 2 * len(batch.named)


class EmptyStore:
    """Latents of zeros, and which pictures were asked for."""

    seed = 0

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __len__(self) -> int:
        return 5000

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        self.kinds += [picture_of(self.seed, int(i)).kind for i in indices]
        return torch.zeros((len(indices), 16, 4, 4))


def share_of_twice(tokenizer: CLIPTokenizer, redrawn: float) -> float:
    store: Any = EmptyStore()
    rng = np.random.default_rng(1)
    shares = {"empty_captions": 0.1, "inpainted": 0.6, "redrawn": redrawn}
    encode = partial(token_ids, tokenizer)
    batch = Batches(store, encode, DiffusionNoise(), rng, size=800, **shares).draw()
    assert batch.fresh.shape == (800, 1, 1, 4)
    return sum(kind in SAME_TWICE for kind in store.kinds) / len(store.kinds)


def test_one_character_twice_comes_more_often_where_others_are_redrawn(
    tokenizer: CLIPTokenizer,
) -> None:
    assert share_of_twice(tokenizer, 0.0) == pytest.approx(0.36, abs=0.06)
    assert share_of_twice(tokenizer, 0.8) == pytest.approx(0.54, abs=0.06)


def test_sides_of_a_single_figure_show_the_same_and_trios_nothing() -> None:
    pictures = [picture_of(0, i) for i in range(60)]
    rows, targets = sides(pictures)
    assert {pictures[i].kind for i in rows.tolist()}.isdisjoint({"trio"})
    tops = targets.classes()["top"].view(2, -1)
    for left, right, row in zip(*tops.tolist(), rows.tolist(), strict=True):
        assert pictures[row].kind == "pair" or left == right


def test_the_loss_reaches_every_weight(
    plan: Blueprint, tmp_path: Path, vae: AutoencoderKL, tokenizer: CLIPTokenizer
) -> None:
    model = TextToLatent(plan, tokenizer)
    namer = Namer(model.middle)
    batch = batches(tmp_path, vae, tokenizer).draw()
    loss, naming = denoising_loss(model, namer, batch, torch.device("cpu"))
    (loss + naming).backward()
    unused = [
        n for n, p in (*model.named_parameters(), *namer.named_parameters()) if p.grad is None
    ]
    assert unused == []


def test_the_rate_warms_up_holds_and_falls_when_it_is_told() -> None:
    settings = DenoiserTraining(steps=10_000, decay_steps=1_000)
    assert rate_share(0, settings, None) < 0.01
    assert rate_share(5_000, settings, None) == 1.0
    assert rate_share(9_500, settings, None) == pytest.approx(0.5)
    assert rate_share(2_250, settings, {"start": 2_000, "steps": 500}) == pytest.approx(0.5)
    assert rate_share(2_600, settings, {"start": 2_000, "steps": 500}) == 0.0


@pytest.fixture
def folder(
    plan: Blueprint, with_autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with everything that the denoiser's stage needs."""
    monkeypatch.setattr(curves, "WATCHED", ScoreSizes(panels=3, twins=2))
    run = Path(shutil.copytree(with_autoencoder, tmp_path / "run"))
    save_half(Reader(), run / "reader.safetensors")
    return run


@pytest.mark.slow
def test_the_stage_resumes_draws_its_curve_and_is_packed(
    plan: Blueprint, folder: Path, tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    train_denoiser(plan, SHORT, folder)
    state = torch.load(folder / STATE_FILE, weights_only=True)
    assert state["step"] == 2
    assert has_finished(folder, "denoiser")
    rows = read_curve(folder)
    assert rows[0]["pictures"] == 8
    assert {"action", "scene", "described_all", "described_two", "twins", "strangers"} <= set(
        rows[0]
    )
    assert (folder / BEST_FILE).exists()

    assert plan_finish(folder, 3)["steps"] == 3
    size = pack_model(plan, folder, tmp_path / "packed" / "weights")
    assert size > 0
    assert (tmp_path / "packed" / "reader.safetensors").exists()
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "packed" / "weights")
    image = pipeline("a child", num_inference_steps=1, output_type="np").images[0]
    assert image.shape == (128, 128, 3)

    figures = evaluate(plan, folder, ScoreSizes(panels=3, twins=2))
    assert json.loads((folder / "evaluation.json").read_text()) == figures


def test_a_picture_depends_on_its_own_noise_only(
    plan: Blueprint, folder: Path, vae: AutoencoderKL, tokenizer: CLIPTokenizer
) -> None:
    model = TextToLatent(plan, tokenizer).eval()
    two = draw_pictures(model, vae, tokenizer, ["a child", "a kid"], steps=2)
    one = draw_pictures(model, vae, tokenizer, ["a child"], steps=2)
    assert torch.allclose(two[:1], one, atol=0.05)


def test_without_guidance_the_caption_says_nothing(
    plan: Blueprint, vae: AutoencoderKL, tokenizer: CLIPTokenizer
) -> None:
    model = TextToLatent(plan, tokenizer).eval()
    one, other, guided = (
        draw_pictures(model, vae, tokenizer, [caption], steps=2, guidance=guidance)
        for caption, guidance in (("a child", 0.0), ("下雨天", 0.0), ("a child", 8.0))
    )
    assert torch.equal(one, other)
    assert not torch.equal(one, guided)


def test_without_a_best_checkpoint_the_last_is_loaded(
    plan: Blueprint, folder: Path, tokenizer: CLIPTokenizer
) -> None:
    train_denoiser(plan, SHORT, folder)
    (folder / BEST_FILE).unlink()
    assert not load_denoiser(plan, folder, tokenizer).training
