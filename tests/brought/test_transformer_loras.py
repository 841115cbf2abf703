"""Laws of LoRA files on transformers: drawn as the stock pipeline draws, or refused by name."""

import copy
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from brought_slow import one_in
from brought_transformer_lora_tables import REFUSED, RIGHT
from brought_transformer_loras import pair
from diffusers import DiffusionPipeline
from merged_weights import assert_same_weights
from PIL import Image

from brought_files import Brought, saved, variant_of
from brought_loras import Shapes
from drawn_twice import Pixels, distance
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.checkpoint import CheckpointError
from lafi.wire.events import PanelImage
from lafi_export.bare_pipeline import networks, quiet_libraries
from lafi_export.checkpoint_variant import Variant, plan_variant, write_variant
from lafi_export.learnt_words import TextualInversionError
from lafi_export.lora_file import LoraError

PIXELS = 2
SEEN = 6
"""Of 255: what a change must move at least, so that a file that is not applied is noticed."""
SIDE, STEPS, GUIDANCE, SEED = 32, 1, 5.0, 5
PROMPT = "a child at the window"


@pytest.fixture(scope="module")
def stock(small_checkpoints: Callable[[str], Path]) -> Callable[[str], Any]:
    """Name of a published architecture -> a fresh stock pipeline of the small checkpoint."""

    @cache
    def loaded(name: str) -> Any:
        with quiet_libraries():
            pipeline: Any = DiffusionPipeline.from_pretrained(small_checkpoints(name))
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return lambda name: copy.deepcopy(loaded(name))


@pytest.fixture(scope="module")
def plain(stock: Callable[[str], Any]) -> Callable[[str], Pixels]:
    """Name -> what the stock pipeline draws without anything added."""
    return cache(lambda name: drawn_by_stock(stock(name), name))


def drawn_by_stock(pipeline: Any, name: str) -> Pixels:
    # Z-Image's pipeline computes pos + g (pos - neg): its number is one less than ours.
    image = pipeline(
        PROMPT,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE - (name == "zimage"),
        width=SIDE,
        height=SIDE,
        generator=torch.Generator().manual_seed(SEED),
    ).images[0]
    return np.asarray(image, dtype=np.int16)


def drawn_by_us(folder: Path) -> Pixels:
    board = Storyboard(
        width=SIDE,
        height=SIDE,
        sampling={"steps": STEPS, "guidance": GUIDANCE},
        injection={"layers": "none"},
        panels=[Panel(prompt=PROMPT, seed=SEED)],
    )
    events = draw(board, load_torch_engines(folder))
    (panel,) = (event for event in events if isinstance(event, PanelImage))
    return np.asarray(Image.open(io.BytesIO(panel.png)).convert("RGB"), dtype=np.int16)


def theirs_of(strength: Any) -> Any:
    """Our strengths in the words of the pipeline's `set_adapters`."""
    if isinstance(strength, float):
        return strength
    return {"transformer" if k == "unet" else k: copy.deepcopy(v) for k, v in strength.items()}


def with_files(pipeline: Any, variant: Variant) -> Any:
    """The stock pipeline with a variant's files loaded."""
    names = [f"file{number}" for number in range(len(variant.loras))]
    with quiet_libraries():
        for name, (path, _) in zip(names, variant.loras, strict=True):
            pipeline.load_lora_weights(path, adapter_name=name)
        pipeline.set_adapters(names, [theirs_of(one) for _, one in variant.loras])
    return pipeline


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("brought", one_in(3, RIGHT))
def test_a_variant_draws_what_the_stock_pipeline_draws(
    brought: Brought,
    stock: Callable[[str], Any],
    plain: Callable[[str], Pixels],
    shapes: Callable[[str], Shapes],
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    variant = variant_of(brought.build(shapes(brought.model), tmp_path))
    theirs = drawn_by_stock(with_files(stock(brought.model), variant), brought.model)
    assert distance(plain(brought.model), theirs) > SEEN
    checkpoint = small_checkpoints(brought.model)
    write_variant(checkpoint, plan_variant(checkpoint, variant), tmp_path / "variant")
    assert distance(drawn_by_us(tmp_path / "variant"), theirs) <= PIXELS


@pytest.mark.parametrize("brought", RIGHT, ids=str)
def test_a_variant_has_the_weights_that_diffusers_merges(
    brought: Brought,
    stock: Callable[[str], Any],
    shapes: Callable[[str], Shapes],
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    variant = variant_of(brought.build(shapes(brought.model), tmp_path))
    checkpoint = small_checkpoints(brought.model)
    plan = plan_variant(checkpoint, variant)
    assert plan.parts
    write_variant(checkpoint, plan, tmp_path / "variant")
    pipeline = with_files(stock(brought.model), variant)
    pipeline.fuse_lora(components=[*networks(pipeline)])
    assert_same_weights(pipeline, tmp_path / "variant")


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("brought", REFUSED, ids=str)
def test_what_does_not_fit_is_refused_by_name(
    brought: Brought,
    shapes: Callable[[str], Shapes],
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    folder = small_checkpoints(brought.model)
    option = brought.build(shapes(brought.model), tmp_path)
    with pytest.raises(LoraError, match=brought.error) as refused:
        plan_variant(folder, variant_of(option))
    assert str(tmp_path) in str(refused.value)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize("model", ["zimage", "flux", "sd3"])
def test_learnt_words_are_refused(
    model: str, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    word = saved(tmp_path / "word.safetensors", {"<mia>": torch.full((1, 16), 0.5)})
    with pytest.raises(TextualInversionError, match=r"word\.safetensors: .*Pipeline.*allowed"):
        plan_variant(small_checkpoints(model), Variant("x", words=((word, ""),)))


@pytest.mark.parametrize("model", ["pixart", "hunyuan"])
def test_families_without_a_loader_say_so(
    model: str, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    lora = saved(tmp_path / "lora.safetensors", pair("transformer.proj_out")({}))
    with pytest.raises(CheckpointError, match=rf"{model}.*Pipeline.* no LoRA"):
        plan_variant(small_checkpoints(model), variant_of(str(lora)))
