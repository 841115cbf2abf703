"""The model that is shipped: its format, its size, that it draws, and that the reader reads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from lafi_tiny.dataset import DatasetSpec, render_range
from lafi_tiny.reader import Reader, load_reader
from lafi_tiny.scores import identity_match
from lafi_tiny.train_reader import single_views
from lafi_tiny.training import from_pixels

FOLDER = Path(__file__).parents[2] / "tiny_model"
WEIGHTS, READER = FOLDER / "weights", FOLDER / "reader.safetensors"
MOST_BYTES = 48 * 10**6


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(WEIGHTS)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(READER)


def test_weights_and_reader_are_small() -> None:
    files = [path for path in (*WEIGHTS.rglob("*"), READER) if path.is_file()]
    assert 10**6 < sum(path.stat().st_size for path in files) <= MOST_BYTES


def test_all_weights_are_float16_safetensors() -> None:
    files = [*WEIGHTS.rglob("*.safetensors"), READER]
    assert len(files) == 4
    for path in files:
        floating = [v for v in load_file(path).values() if v.is_floating_point()]
        assert {v.dtype for v in floating} == {torch.float16}, path.name
        assert all(torch.isfinite(v).all() for v in floating), path.name
    assert not [p for p in WEIGHTS.rglob("*") if p.suffix in {".bin", ".pt", ".pth", ".ckpt"}]


def test_the_scheduler_predicts_what_stable_diffusion_can(
    pipeline: StableDiffusionPipeline,
) -> None:
    assert pipeline.scheduler.config.prediction_type in {"epsilon", "v_prediction"}
    assert pipeline.scheduler.config.num_train_timesteps == 1000


def test_the_unet_attends_to_itself_and_to_the_text_everywhere(
    pipeline: StableDiffusionPipeline,
) -> None:
    names = [name for name, _ in pipeline.unet.named_modules()]
    blocks = [f"{way}_blocks.{level}" for way in ("down", "up") for level in range(3)]
    for block in (*blocks, "mid_block"):
        for attention in ("attn1", "attn2"):
            inside = [n for n in names if n.startswith(f"{block}.") and n.endswith(attention)]
            assert inside, f"{block} has no {attention}"
    assert len(pipeline.unet.config.block_out_channels) == 3


def test_it_draws_a_picture(pipeline: StableDiffusionPipeline) -> None:
    pictures = pipeline(
        "a child running on the beach by day",
        num_inference_steps=8,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images
    assert pictures.shape == (1, 64, 64, 3)
    assert np.isfinite(pictures).all()
    assert pictures.std() > 0.05


def test_every_caption_fits_its_tokenizer(pipeline: StableDiffusionPipeline) -> None:
    rng, spec = np.random.default_rng(2), DatasetSpec(seed=11)
    lengths = [len(pipeline.tokenizer(spec.caption(i, rng)).input_ids) for i in range(100)]
    assert max(lengths) <= pipeline.tokenizer.model_max_length == 48


def test_the_reader_reads_fresh_renders(reader: Reader) -> None:
    spec, count = DatasetSpec(seed=2_000_003), 16
    images = from_pixels(render_range(spec, 0, count))
    views, figures, _ = single_views(
        images, [spec.picture(i) for i in range(count)], np.random.default_rng(0)
    )
    read = reader.read(views)
    matches = [identity_match(r.identity, f.identity) for r, f in zip(read, figures, strict=True)]
    assert np.mean(matches) >= 0.8
