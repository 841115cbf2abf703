"""Controls of panels: refused or told before any work, and prepared once for a size."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.drawing.check import check_drawable
from lafi.drawing.panel_controls import ControlConditions, control_notes, panel_controls
from lafi.drawing.plan import plan_panel
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines

POSE = {"neck": (0.5, 0.3), "nose": (0.5, 0.1)}


class Counting:
    """A control network that counts the pictures that it saw."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def condition(self, pictures: Tensor) -> Tensor:
        self.seen.append(pictures)
        return torch.zeros(len(pictures), 2, 8, 8)

    def residuals(self, rows: Any) -> tuple[Tensor, ...]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return replace(load_torch_engines(checkpoint), controls={"pose": Counting(), "ink": Counting()})


def board(*controls: dict[str, Any], **sampling: Any) -> Storyboard:
    panel = {"prompt": "a child", "control": [{"pose": POSE} | each for each in controls]}
    return Storyboard(width=32, height=32, panels=[panel], sampling={"steps": 5, **sampling})


def test_an_unknown_kind_is_refused_with_those_that_are_there(engines: Engines) -> None:
    with pytest.raises(StoryboardError) as refused:
        check_drawable(board({"kind": "pose"}, {"kind": "poze"}), {"": engines})
    (line,) = refused.value.problems
    assert line == "panels[0].control[1].kind: got 'poze', allowed: pose, ink (did you mean pose?)"


def test_a_model_without_any_says_how_it_gets_some(checkpoint: Path) -> None:
    with pytest.raises(StoryboardError, match="has no control networks; lafi export CHECKPOINT"):
        check_drawable(board({"kind": "pose"}), {"": load_torch_engines(checkpoint)})


def test_a_picture_of_which_only_the_header_is_whole_is_refused(
    engines: Engines, png: bytes
) -> None:
    half = board({"kind": "pose", "pose": None, "image": png[:120]})
    with pytest.raises(StoryboardError, match=r"control\[0\].image: got a file that ends too ear"):
        check_drawable(half, {"": engines})


def test_one_that_acts_in_no_step_is_told(engines: Engines) -> None:
    late = board({"kind": "pose", "start": 0.9}, {"kind": "ink", "strength": 0.0}, {"kind": "ink"})
    plans = [plan_panel(late, panel, {"": engines.info}) for panel in late.panels]
    assert [*control_notes(late, plans)] == [
        "panels[0].control[0]: pose has no effect in stage 1: none of its 5 steps lies in start to "
        "end",
        "panels[0].control[1]: ink has no effect in stage 1: its strength is 0",
    ]


def test_each_picture_is_seen_once_for_a_size(engines: Engines) -> None:
    """By each network that it steers through, however often a panel is drawn."""
    conditions = ControlConditions()
    drawn = board({"kind": "pose"}, {"kind": "pose", "strength": 0.5}, {"kind": "ink"}).panels[0]
    for size in ((32, 32), (64, 32), (32, 32)):
        panel_controls(drawn, size, engines, conditions)
    networks = [engines.controls[kind] for kind in ("pose", "ink")]
    assert [[seen.shape for seen in network.seen] for network in networks] == [  # type: ignore
        [(1, 3, 32, 32), (1, 3, 32, 64)]
    ] * 2
