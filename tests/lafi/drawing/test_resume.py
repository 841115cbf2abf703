"""A panel goes on from what an earlier drawing left after one of its stages."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.drawing.kept_latents import packed, unpacked
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import Latents, PanelImage, Progress

SIDE = 64


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def board(last: dict[str, Any], **panel: Any) -> Storyboard:
    stages = [{"steps": 2, "size": 0.5}, {"steps": 2, "denoise": 0.7}, {"denoise": 0.5} | last]
    return Storyboard.model_validate(
        {
            "width": SIDE,
            "height": SIDE,
            "keep_stages": True,
            "sampling": {"stages": stages},
            "injection": {"layers": "none"},
            "panels": [{"prompt": "a child", "seed": 3} | panel],
        }
    )


def drawn(storyboard: Storyboard, engines: Engines) -> tuple[PanelImage, list[Latents], list[int]]:
    """The panel, what its stages left, and the stage of each step."""
    events = [*draw(storyboard, engines)]
    (image,) = (event for event in events if isinstance(event, PanelImage))
    kept = [event for event in events if isinstance(event, Latents)]
    return image, kept, [event.stage for event in events if isinstance(event, Progress)]


def pixels(image: PanelImage) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.asarray(Image.open(io.BytesIO(image.png)), dtype=np.int16)


def test_a_change_of_the_last_stage_costs_the_last_stage(engines: Engines) -> None:
    _, kept, _ = drawn(board({"steps": 2}), engines)
    assert [event.stage for event in kept] == [1, 2]
    whole, _, _ = drawn(board({"steps": 4}), engines)
    resume = {"stage": 3, "data": kept[1].data}
    again, later, stages = drawn(board({"steps": 4}, resume=resume), engines)
    assert stages == [3, 3, 3, 3]
    assert later == []
    assert np.array_equal(pixels(again), pixels(whole))
    assert again.address == whole.address


def test_a_panels_own_stage_changes_while_the_portrait_stays(engines: Engines) -> None:
    """A portrait is drawn with the storyboard's stages, so that a change there changes it."""
    mia = {"characters": [{"name": "mia", "prompt": "a child"}], "injection": {"layers": "all"}}

    def with_mia(last: dict[str, Any], **panel: Any) -> Storyboard:
        document = board(last).model_dump(exclude={"injection", "panels"})
        panels = [{"prompt": "{mia} runs", "seed": 3} | panel]
        return Storyboard.model_validate(document | mia | {"panels": panels})

    _, kept, _ = drawn(with_mia({"steps": 2}), engines)
    resume = {"stage": 3, "data": kept[1].data}
    stages = [*with_mia({"steps": 2}).sampling.stages[:2], {"steps": 3, "denoise": 0.5}]
    own = {"sampling": {"stages": stages}}
    whole, _, _ = drawn(with_mia({"steps": 2}, **own), engines)
    again, _, steps = drawn(with_mia({"steps": 2}, resume=resume, **own), engines)
    assert steps[-3:] == [3, 3, 3]
    assert np.abs(pixels(again) - pixels(whole)).max() <= 2
    with pytest.raises(StoryboardError, match="are drawn with the storyboard's stages"):
        next(draw(with_mia({"steps": 3}, resume=resume), engines))


def test_latents_of_other_settings_are_refused(engines: Engines) -> None:
    _, kept, _ = drawn(board({"steps": 2}), engines)
    wrong = (
        {"resume": {"stage": 3, "data": kept[0].data}},
        {"resume": {"stage": 3, "data": kept[1].data}, "seed": 4},
        {"resume": {"stage": 2, "data": kept[1].data}},
    )
    for panel in wrong:
        with pytest.raises(StoryboardError, match=r"panels\[0\].resume: got latents of other set"):
            next(draw(board({"steps": 2}, **panel), engines))
    with pytest.raises(StoryboardError, match=r"panels\[0\].resume: got no safetensors of latents"):
        next(draw(board({"steps": 2}, resume={"stage": 3, "data": b"x" * 64}), engines))


def test_a_stage_that_is_not_there_is_refused(engines: Engines) -> None:
    with pytest.raises(StoryboardError, match=r"panels\[0\].resume.stage: got 4, allowed: 2 to 3"):
        board({"steps": 2}, resume={"stage": 4, "data": b"x" * 64})


def test_latents_come_back_as_they_were() -> None:
    latents = torch.randn(3, 4, 5)
    again, address = unpacked(packed(latents, "abc"))
    assert torch.equal(again, latents)
    assert address == "abc"


@pytest.mark.parametrize(
    "data", [b"", b"x" * 7, b"\xff" * 64, packed(torch.full((1, 2, 2), torch.nan), "a")]
)
def test_bytes_that_are_no_latents_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"safetensors|not finite"):
        unpacked(data)
