"""Nothing of ours in the way of the truth: the same pixels as diffusers' own classes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from plain_loop import GUIDANCE, NEGATIVE, SIDE, STEPS, PlainLoop, picture

from drawn_twice import stock_pipeline
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage

MIA, BO = "a child is running", "on the beach at night"


@pytest.fixture(scope="module")
def pipe(checkpoint: Path) -> Any:
    return stock_pipeline(checkpoint)


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def storyboard(**injection: Any) -> Storyboard:
    """Two panels share mia; the third reads mia and bo, whose picture is padded at its sides."""
    mia = ReferenceImage(data=picture(1, SIDE, SIDE))
    bo = ReferenceImage(data=picture(2, SIDE // 2, SIDE))
    return Storyboard(
        width=SIDE,
        height=SIDE,
        negative_prompt=NEGATIVE,
        sampling={"steps": STEPS, "sampler": "DDIM", "guidance": GUIDANCE},
        injection=injection,
        characters=[
            Character(name="mia", prompt=MIA, reference=mia),
            Character(name="bo", prompt=BO, reference=bo),
        ],
        panels=[
            Panel(prompt="{mia} on the beach", seed=11),
            Panel(prompt="a child at night", characters=("mia",), seed=12),
            Panel(prompt="{mia} and {bo}", seed=13),
        ],
    )


def pixels_of(storyboard: Storyboard, engines: Engines) -> list[np.ndarray]:
    """The drawn panels as int16 (H, W, 3), in their order."""
    panels = {e.panel: e.png for e in draw(storyboard, engines) if isinstance(e, PanelImage)}
    return [np.asarray(Image.open(io.BytesIO(panels[i])), dtype=np.int16) for i in sorted(panels)]


def test_without_injection_the_pixels_are_those_of_the_stock_pipeline(
    pipe: StableDiffusionPipeline, engines: Engines
) -> None:
    board = storyboard(layers="none")
    for panel, ours in zip(board.panels, pixels_of(board, engines), strict=True):
        theirs = pipe(
            panel.prompt_text(board),
            negative_prompt=NEGATIVE,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            width=SIDE,
            height=SIDE,
            generator=torch.Generator().manual_seed(panel.seed),
        ).images[0]
        assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2


@torch.no_grad()
def test_with_injection_the_pixels_are_those_of_a_plain_concatenating_loop(
    pipe: StableDiffusionPipeline, engines: Engines
) -> None:
    board = storyboard(strength=0.0, reference_noise="panel")
    loop = PlainLoop(pipe)
    mia, bo = (loop.reference(c.reference.data, c.caption, pad) for c, pad in _padded(board))
    read = [{"mia": mia}, {"mia": mia}, {"mia": mia, "bo": bo}]
    before = dict(pipe.unet.attn_processors)
    loop.install()
    try:
        ours = pixels_of(board, engines)
        for panel, references, pixels in zip(board.panels, read, ours, strict=True):
            expected = loop.draw(panel.prompt_text(board), panel.seed, references)
            assert np.abs(pixels - expected).max() <= 2
    finally:
        pipe.unet.set_attn_processor(before)
    plain = pixels_of(storyboard(layers="none"), engines)
    assert all(np.abs(a - b).max() > 8 for a, b in zip(ours, plain, strict=True))


@torch.no_grad()
def test_further_references_are_read_beside_the_characters_own(
    pipe: StableDiffusionPipeline, engines: Engines
) -> None:
    whole = storyboard(strength=0.0, reference_noise="panel")
    back, side = picture(3, SIDE, SIDE), picture(4, SIDE // 2, SIDE)
    further = [{"character": "mia", "image": back}, {"character": "bo", "image": side}]
    with_both = Panel(prompt="{mia} and {bo}", seed=13, references=further)
    board = Storyboard(**{**given(whole), "panels": [with_both, *whole.panels[:2]]})
    loop = PlainLoop(pipe)
    references = {
        "mia": loop.reference(picture(1, SIDE, SIDE), MIA, 0),
        "bo": loop.reference(picture(2, SIDE // 2, SIDE), BO, SIDE // 4),
        "mia from behind": loop.reference(back, MIA, 0),
        "bo from the side": loop.reference(side, BO, SIDE // 4),
    }
    before = dict(pipe.unet.attn_processors)
    loop.install()
    try:
        ours = pixels_of(board, engines)
        expected = loop.draw(with_both.prompt_text(board), 13, references)
    finally:
        pipe.unet.set_attn_processor(before)
    assert np.abs(ours[0] - expected).max() <= 2
    without = pixels_of(whole, engines)
    assert np.abs(ours[0] - without[2]).max() > 8
    # The neighbours of its call read what they read without it.
    assert all(np.abs(ours[1 + i] - without[i]).max() <= 2 for i in range(2))


def given(board: Storyboard) -> dict[str, Any]:
    return {name: getattr(board, name) for name in board.model_fields_set}


def _padded(board: Storyboard) -> list[tuple[Any, int]]:
    return list(zip(board.characters, (0, SIDE // 4), strict=True))
