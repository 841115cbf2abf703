"""SDXL: the same pixels as diffusers' own pipeline, on a small model of that architecture."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from drawn_twice import stock_pipeline
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage

WIDTH, HEIGHT, STEPS, GUIDANCE = 96, 64, 4, 5.0


@pytest.fixture(scope="module")
def pipe(small_checkpoints: Callable[[str], Path]) -> Any:
    return stock_pipeline(small_checkpoints("sdxl"))


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


@torch.no_grad()
def encoded(pipe: StableDiffusionXLPipeline, windows: Sequence[str], skip: int) -> tuple[Any, Any]:
    """Hidden states of both encoders side by side, windows behind each other; and the pooled
    embedding of the first window."""
    rows, pooled = [], []
    for window in windows:
        states = []
        pairs = ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2))
        for tokenizer, encoder in pairs:
            length = tokenizer.model_max_length
            ids = tokenizer(window, padding="max_length", max_length=length, return_tensors="pt")
            assert ids.input_ids.shape[1] == length
            made = encoder(ids.input_ids, output_hidden_states=True)
            states.append(made.hidden_states[-(skip + 2)])
        rows.append(torch.cat(states, dim=-1))
        pooled.append(made.text_embeds)
    return torch.cat(rows, dim=1), pooled[0]


@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("negative", ["", "night"])
@pytest.mark.parametrize(
    ("prompt", "windows"),
    [
        ("a child BREAK on the beach at night", ["a child", "on the beach at night"]),
        ("a BREAK b BREAK c", ["a", "b", "c"]),
        (" ".join(["a"] * 100), [" ".join(["a"] * 75), " ".join(["a"] * 25)]),
    ],
)
def test_long_prompts_are_those_of_joined_embeddings(
    pipe: StableDiffusionXLPipeline,
    engines: Engines,
    prompt: str,
    windows: list[str],
    negative: str,
    skip: int,
) -> None:
    """A negative prompt is repeated for each window, which changes nothing in a softmax."""
    given, pooled = encoded(pipe, windows, skip)
    without, without_pooled = encoded(pipe, [negative], 0)
    if not negative:
        without, without_pooled = torch.zeros_like(without), torch.zeros_like(without_pooled)
    theirs = pipe(
        prompt_embeds=given,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=without.repeat(1, len(windows), 1),
        negative_pooled_prompt_embeds=without_pooled,
        num_inference_steps=2,
        guidance_scale=GUIDANCE,
        width=WIDTH,
        height=HEIGHT,
        generator=torch.Generator().manual_seed(11),
    ).images[0]
    board = Storyboard(
        width=WIDTH,
        height=HEIGHT,
        clip_skip=skip,
        negative_prompt=negative,
        sampling={"steps": 2, "sampler": "DDIM", "guidance": GUIDANCE},
        injection={"layers": "none"},
        panels=[Panel(prompt=prompt, seed=11)],
    )
    (panel,) = (event for event in draw(board, engines) if isinstance(event, PanelImage))
    ours = np.asarray(Image.open(io.BytesIO(panel.png)), dtype=np.int16)
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2


def test_the_facts_of_a_checkpoint_with_two_text_encoders(engines: Engines) -> None:
    info = engines.info
    assert (info.text_width, info.pooled_width) == (160, 96)
    assert info.zero_empty_negative
    assert (info.vae_scale, info.side_multiple) == (8, 32)
    assert engines.prompts.token_ids(["a child"]).shape == (1, 2, info.text_length)
    assert len(info.layers) == 70
