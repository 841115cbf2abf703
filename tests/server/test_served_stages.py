"""Stages on a real server: the same pixels as in one process, previews, and going on later."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lafi.board.storyboard import Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.wire.events import Accepted, Latents, PanelImage, Preview, Progress

FIRST, LAST = {"steps": 3, "size": 0.5}, {"steps": 2, "denoise": 0.5, "sampler": "DPM++SDE"}


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 40, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def board(**fields: Any) -> Storyboard:
    repaired = [{"steps": 2, "denoise": 0.5, "from": 0, "mask": [0.5, 0.0, 1.0, 1.0]}]
    began = [{"steps": 2, "denoise": 0.5, "from": {"image": picture()}}]
    panels = [
        {"prompt": "{mia} is running"},
        {"prompt": "{mia} at night", "sampling": {"stages": repaired}, "width": 64},
        {"prompt": "the beach", "sampling": {"stages": began}, "height": 96},
    ]
    document = {
        "width": 64,
        "height": 64,
        "sampling": {"stages": [FIRST, LAST]},
        "characters": [{"name": "mia", "prompt": "a child"}],
        "panels": panels,
        "stage_previews": True,
        "keep_stages": True,
    }
    return Storyboard.model_validate(document | fields)


def pixels(event: Any) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.asarray(Image.open(io.BytesIO(event.png)), dtype=np.int16)


def test_stages_are_those_of_one_process(caller: Any, served_repository: Path) -> None:
    engines = load_onnx_engines(served_repository / "artifacts", "onnxruntime", "f32", 1)
    expected = {e.panel: e for e in draw(board(), engines) if isinstance(e, PanelImage)}
    answers = caller.draw(board())
    assert isinstance(answers[0], Accepted)
    panels = {answer.panel: answer for answer in answers if isinstance(answer, PanelImage)}
    assert sorted(panels) == [0, 1, 2]
    for number, answer in panels.items():
        assert np.abs(pixels(answer) - pixels(expected[number])).max() <= 2
        assert answer.address == expected[number].address
    assert [pixels(panels[n]).shape[:2] for n in range(3)] == [(64, 64), (64, 64), (96, 64)]
    previews = [(a.panel, a.stage) for a in answers if isinstance(a, Preview)]
    assert previews == [(0, 1)]


def test_a_storyboard_goes_on_from_a_stage(caller: Any) -> None:
    first = caller.draw(board(panels=[{"prompt": "a child"}]))
    (kept,) = (answer for answer in first if isinstance(answer, Latents))
    resume = {"stage": 2, "data": kept.data}
    again = caller.draw(board(panels=[{"prompt": "a child", "resume": resume}]))
    steps = [(a.stage, a.step) for a in again if isinstance(a, Progress)]
    assert steps == [(2, 1), (2, 2)]
    one, other = (
        next(a for a in answers if isinstance(a, PanelImage)) for answers in (first, again)
    )
    assert one.png == other.png
    wrong = caller.draw(board(panels=[{"prompt": "a man", "resume": resume}]))
    assert wrong[0].startswith("INVALID_ARGUMENT: panels[0].resume: got latents of other settings")


def test_bad_stages_are_refused_by_name(caller: Any) -> None:
    bad = {
        "sampling.shift: got 3.0, allowed": {"shift": 3.0},
        "sampling.variant: got 'ink', allowed: none": {"variant": "ink"},
    }
    for line, stage in bad.items():
        answers = caller.draw(board(sampling={"stages": [stage]}, panels=[{"prompt": "a"}]))
        assert answers[0].startswith(f"INVALID_ARGUMENT: panels[0].{line}"), answers
