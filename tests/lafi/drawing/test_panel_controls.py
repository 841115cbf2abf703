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
from lafi.drawing.panel_controls import (
    ControlConditions,
    control_notes,
    panel_controls,
    panel_features,
)
from lafi.drawing.plan import plan_panel
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.control_info import ControlInfo, FeaturePlace, feature_ports
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


class CountingAdapter:
    """A control adapter that counts the pictures that it saw; features are their place's number."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def features(self, pictures: Tensor) -> tuple[Tensor, ...]:
        self.seen.append(pictures)
        height, width = (side // 4 for side in pictures.shape[-2:])
        return torch.ones(1, 2, height, width), torch.full((1, 3, height // 2, width // 2), 2.0)


@pytest.fixture
def adapted(engines: Engines) -> Engines:
    """With a control adapter that sees grey, beside the networks."""
    info = engines.info.model_copy(
        update={
            "added_inputs": feature_ports([FeaturePlace(2, 1), FeaturePlace(3, 2)]),
            "controls": (ControlInfo(name="light", features=2, channels=1),),
        }
    )
    return replace(engines, info=info, control_adapters={"light": CountingAdapter()})


def test_an_adapter_has_features_and_no_rows(adapted: Engines) -> None:
    """Its picture is seen once for a size, in grey, whatever strength and region it acts with."""
    conditions = ControlConditions()
    left = {"region": [0, 0, 0.5, 1], "strength": 0.5}
    panel = board({"kind": "light"}, {"kind": "pose"}, {"kind": "light", **left}).panels[0]
    for _ in range(2):
        features = panel_features(panel, (32, 32), adapted, conditions)
        networks = panel_controls(panel, (32, 32), adapted, conditions)
    assert [each.network for each in networks] == ["pose"]
    assert [seen.shape for seen in adapted.control_adapters["light"].seen] == [  # type: ignore
        (1, 1, 32, 32)
    ]
    everywhere, limited = (each.features for each in features.adapters)
    for number, (name, value) in enumerate(everywhere.items()):
        assert name == f"control_feature_{number}"
        assert bool((value == number + 1).all())
        half = value.shape[-1] // 2
        assert bool((limited[name][..., :half] == 0.5 * (number + 1)).all())
        assert not limited[name][..., half:].any()
    assert [each.strength for each in features.adapters] == [1.0, 0.5]


def test_adapters_are_among_the_kinds_that_are_allowed(adapted: Engines) -> None:
    with pytest.raises(StoryboardError, match=r"got 'lihgt', allowed: pose, ink, light \(did you"):
        check_drawable(board({"kind": "lihgt"}), {"": adapted})
    check_drawable(board({"kind": "light"}), {"": adapted})
