"""SDXL: the same pixels as diffusers' own pipeline, on a small model of that architecture."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from PIL import Image

from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage

WIDTH, HEIGHT, STEPS, GUIDANCE = 96, 64, 4, 5.0


@pytest.fixture(scope="module")
def pipe(small_checkpoints: Callable[[str], Path]) -> StableDiffusionXLPipeline:
    pipe = StableDiffusionXLPipeline.from_pretrained(small_checkpoints("sdxl"))
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def engines(small_checkpoints: Callable[[str], Path]) -> Engines:
    return load_torch_engines(small_checkpoints("sdxl"))


def test_without_injection_the_pixels_are_those_of_the_stock_pipeline(
    pipe: StableDiffusionXLPipeline, engines: Engines
) -> None:
    """With a negative prompt, and without one, which diffusers takes as zeros."""
    board = Storyboard(
        width=WIDTH,
        height=HEIGHT,
        sampling={"steps": STEPS, "sampler": "DDIM", "guidance": GUIDANCE},
        injection={"layers": "none"},
        panels=[
            Panel(prompt="a child on the beach", seed=11, negative_prompt="night"),
            Panel(prompt="a child at night", seed=12),
        ],
    )
    drawn = {e.panel: e.png for e in draw(board, engines) if isinstance(e, PanelImage)}
    for index, panel in enumerate(board.panels):
        theirs = pipe(
            panel.prompt,
            negative_prompt=panel.negative_prompt or None,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            width=WIDTH,
            height=HEIGHT,
            generator=torch.Generator().manual_seed(panel.seed),
        ).images[0]
        ours = np.asarray(Image.open(io.BytesIO(drawn[index])), dtype=np.int16)
        assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2
        assert ours.std() > 5


def test_the_facts_of_a_checkpoint_with_two_text_encoders(engines: Engines) -> None:
    info = engines.info
    assert (info.text_width, info.pooled_width) == (160, 96)
    assert info.zero_empty_negative
    assert (info.vae_scale, info.side_multiple) == (8, 32)
    assert engines.prompts.token_ids(["a child"]).shape == (1, 2, info.text_length)
    assert len(info.layers) == 70
