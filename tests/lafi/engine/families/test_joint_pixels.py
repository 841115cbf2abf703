"""SD3 and FLUX draw the pixels of diffusers' own pipelines where nothing is injected."""

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from joint_checkpoints import VARIANTS, joint_checkpoint
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import Accepted, PanelImage

STEPS, NEGATIVE = 3, "night"
LONG = (
    "a girl in a red coat with golden buttons is running over the wet sand towards the old boat "
    "of her uncle"
)
READ = "owards the old boat of h"
"""The end of what CLIP reads of it, where every letter is a token."""


@pytest.fixture(scope="module", params=VARIANTS)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Any, Engines]:
    """Name, the stock pipeline and our engines of one checkpoint."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    chosen = joint_checkpoint(request.param, folder)
    pipe: Any = getattr(diffusers, chosen.pipeline).from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return request.param, pipe, load_torch_engines(folder)


def board(size: tuple[int, int], guidance: float, *prompts: str, **fields: Any) -> Storyboard:
    return Storyboard.model_validate(
        {
            "width": size[0],
            "height": size[1],
            "sampling": {"steps": STEPS, "guidance": guidance},
            "injection": {"layers": "none"},
            "panels": [{"prompt": prompt, "seed": 7 + i} for i, prompt in enumerate(prompts)],
        }
        | fields
    )


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)), dtype=np.int16)


@pytest.mark.parametrize(("size", "guidance"), [((48, 32), 4.0), ((32, 64), 1.0)])
def test_the_pixels_are_those_of_the_stock_pipeline(
    made: tuple[str, Any, Engines], size: tuple[int, int], guidance: float
) -> None:
    name, pipe, engines = made
    rows = name in ("sd3", "sd35")
    told = {"negative_prompt": NEGATIVE} if rows and guidance > 1.0 else {}
    asked = board(size, guidance, "a child is running", LONG, **told)
    drawn = {e.panel: pixels(e.png) for e in draw(asked, engines) if isinstance(e, PanelImage)}
    for index, panel in enumerate(asked.panels):
        theirs = pipe(
            panel.prompt,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            width=size[0],
            height=size[1],
            generator=torch.Generator().manual_seed(panel.seed),
            **told,
        ).images[0]
        assert np.abs(drawn[index] - np.asarray(theirs, dtype=np.int16)).max() <= 2
        assert drawn[index].std() > 1.0


def notes_of(asked: Storyboard, engines: Engines) -> tuple[str, ...]:
    (accepted,) = (event for event in draw(asked, engines) if isinstance(event, Accepted))
    return accepted.notes


def test_a_text_that_clip_reads_partly_is_said_and_one_too_long_for_t5_refused(
    made: tuple[str, Any, Engines],
) -> None:
    _, _, engines = made
    info = engines.info
    letters = len(LONG.replace(" ", ""))
    assert len(LONG.partition(READ)[0].replace(" ", "") + READ.replace(" ", "")) == 75 < letters
    (note,) = (n for n in notes_of(board((32, 32), 2.0, "a", LONG), engines) if "CLIP" in n)
    assert note == (
        f"panels[1].prompt: {letters} tokens of CLIP, which reads the first 75, to {READ!r}; "
        f"T5 reads all ({info.name})"
    )
    with pytest.raises(StoryboardError) as refused:
        draw(board((32, 32), 2.0, "word " * (info.text_length // 5) + "and the end"), engines)
    (line,) = refused.value.problems
    assert line.startswith("panels[0].prompt: got ")
    assert line.endswith(
        f"and the end' too much, allowed: at most {info.text_length} tokens with {info.name}"
    )


def test_what_guidance_cannot_do_is_said(made: tuple[str, Any, Engines]) -> None:
    name, _, engines = made
    said = notes_of(board((32, 32), 3.0, "a", negative_prompt=NEGATIVE), engines)
    void = "sampling.guidance: has no effect with this model, which was made to draw without it"
    assert (void in said) == (name == "schnell")
    unread = "negative_prompt: has no effect with this model, which draws without it (sampling)"
    assert (unread in said) == (name in ("dev", "schnell"))
    unset = board((32, 32), 3.0, "a", sampling={"steps": STEPS})
    assert void not in notes_of(unset, engines)


def test_guidance_that_is_embedded_matters(made: tuple[str, Any, Engines]) -> None:
    name, _, engines = made
    drawn = [
        pixels(event.png)
        for guidance in (2.0, 5.0)
        for event in draw(board((32, 32), guidance, "a"), engines)
        if isinstance(event, PanelImage)
    ]
    assert np.array_equal(*drawn) == (name == "schnell")


def test_a_known_character_is_read_from_the_bank_as_from_a_row(
    made: tuple[str, Any, Engines],
) -> None:
    _, _, engines = made
    picture = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    image = base64.b64encode(stream.getvalue()).decode()
    mia = {"name": "mia", "prompt": "a girl", "reference": {"data": image}}

    def drawn(layers: str, with_bank: bool) -> np.ndarray:
        asked = board((32, 32), 3.0, "{mia}", characters=[mia], injection={"layers": layers})
        own = engines if with_bank else replace(engines, reference_reader=None)
        (panel,) = (event for event in draw(asked, own) if isinstance(event, PanelImage))
        return pixels(panel.png)

    kept, row, none = drawn("all", True), drawn("all", False), drawn("none", True)
    assert np.abs(kept - row).max() <= 2
    assert np.abs(kept - none).max() > 2
