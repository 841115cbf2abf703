"""What is refused before any work."""

import io
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.check import check_drawable, check_variant
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.families.registry import input_ports
from lafi.model.text_stacks.clip import CLIP
from lafi.ports.engines import Engines

ENGINES = {name: cast(Engines, object()) for name in ("", "ink", "oil")}


def storyboard(variant: str = "") -> Storyboard:
    return Storyboard(variant=variant, panels=(Panel(prompt="a child"),))


@pytest.mark.parametrize("name", ENGINES)
def test_the_named_variant_draws(name: str) -> None:
    check_variant(storyboard(name), ENGINES)


def test_an_unknown_variant_is_refused_with_what_there_is() -> None:
    with pytest.raises(StoryboardError, match=r"variant: got 'inc', allowed: ink, oil"):
        check_variant(storyboard("inc"), ENGINES)
    with pytest.raises(StoryboardError, match="allowed: none, since this model has no variants"):
        check_variant(storyboard("ink"), {"": ENGINES[""]})


def test_a_picture_of_which_only_the_header_is_whole_is_refused(engines: Engines) -> None:
    half = png(64)[:120]
    board = Storyboard(
        characters=[{"name": "mia", "prompt": "a child", "reference": half}],
        panels=[{"prompt": "{mia}", "sampling": {"from": {"image": half}, "denoise": 0.5}}],
    )
    with pytest.raises(StoryboardError) as refused:
        check_drawable(board, {"": engines})
    assert [line.partition(" (")[0] for line in refused.value.problems] == [
        "characters[0].reference: got a file that ends too early",
        "panels[0].sampling.from: got a file that ends too early",
    ]


def png(side: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def test_a_model_exported_before_refuses_long_prompts_by_name(engines: Engines) -> None:
    info = engines.info.model_copy(update={"text_windows": 1})
    prompts = CLIP.reader(Path(engines.prompts.tokenizers[0].name_or_path).parent, info)
    older = replace(engines, info=info, prompts=prompts)
    long = Storyboard(panels=[{"prompt": "a child is running BREAK at night"}])
    check_drawable(long, {"": engines})
    with pytest.raises(StoryboardError, match=r"panels\[0\].prompt: got 'at night' too much") as no:
        check_drawable(long, {"": older})
    assert "exported before longer texts could be read; export it again" in str(no.value)
    check_drawable(Storyboard(panels=[{"prompt": "a child"}]), {"": older})
    assert "text_mask" not in {port.name for port in input_ports(info)}
    assert "text_mask" in {port.name for port in input_ports(engines.info)}
