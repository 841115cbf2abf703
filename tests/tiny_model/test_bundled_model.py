"""The model that is shipped: its format, its size, that it draws, and that the reader reads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from lafi_tiny.hand.attributes import IDENTITY_NAMES
from lafi_tiny.hand.caption import random_caption
from lafi_tiny.stages.reader import CLASSES, Reader, load_reader
from lafi_tiny.stages.reader_targets import UNSEEN, Targets
from lafi_tiny.stages.samples import picture_of
from lafi_tiny.stages.tokenizer import token_ids
from lafi_tiny.stages.train_reader import rendered

FOLDER = Path(__file__).parents[2] / "tiny_model"
WEIGHTS, READER = FOLDER / "weights", FOLDER / "reader.safetensors"
MOST_BYTES = 60 * 10**6
TRANSFORMER = FOLDER / "zimage"
MOST_BYTES_OF_THE_TRANSFORMER = 40 * 10**6


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(WEIGHTS)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(READER)


def test_everything_bundled_is_small() -> None:
    apart = {FOLDER / "lafi_tiny", TRANSFORMER}
    files = [p for p in FOLDER.rglob("*") if p.is_file() and not apart & {*p.parents}]
    assert 10**7 < sum(path.stat().st_size for path in files) <= MOST_BYTES
    beside = [path for path in TRANSFORMER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in beside) <= MOST_BYTES_OF_THE_TRANSFORMER


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
    assert pictures.shape == (1, 128, 128, 3)
    assert np.isfinite(pictures).all()
    assert pictures.std() > 0.05


def test_nearly_every_caption_fits_its_tokenizer(pipeline: StableDiffusionPipeline) -> None:
    rng, tokenizer = np.random.default_rng(2), pipeline.tokenizer
    texts = [random_caption(rng, picture_of(11, i)) for i in range(400)]
    lengths = np.array([len(ids) for ids in tokenizer(texts).input_ids])
    assert tokenizer.model_max_length == 77 == token_ids(tokenizer, [""]).shape[1]
    assert np.mean(lengths > 77) <= 0.005


def test_the_reader_reads_fresh_renders(reader: Reader) -> None:
    pictures = [picture_of(2_000_003, i) for i in range(60)]
    singles = [picture for picture in pictures if picture.kind == "single"]
    wanted = Targets()
    for picture in singles:
        wanted.add(picture, 0)
    read = reader.read(rendered(singles))
    hits = [
        CLASSES[name].index(reading.names[name]) == index
        for name in IDENTITY_NAMES
        for reading, index in zip(read, wanted.classes()[name].tolist(), strict=True)
        if index != UNSEEN
    ]
    assert len(hits) > 100
    assert np.mean(hits) >= 0.9
