from pathlib import Path

import pytest
import torch

from benchmarks.evaluation.methods import compared
from benchmarks.model_figures import DEFAULT, draw_captions, few_step_figures, paired_figures
from lafi.board.injection import Injection
from lafi.board.stages import SamplingStage
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.families.unet import UNET
from lafi_tiny.hand.picture import SIDE

STAGE = SamplingStage.model_validate({"steps": 1, "sampler": "DDIM", "guidance": 1.0})
INTERVAL = {"value": 0.5, "low": 0.4, "high": 0.6}
ENTRY = dict.fromkeys(("identity", "action_accuracy", "scene_accuracy"), INTERVAL)


def evaluation() -> dict[str, object]:
    best = {**ENTRY, "identity": {"value": 0.9, "low": 0.8, "high": 1.0}}
    return {"weights": "abc", "methods": {"none": ENTRY, "decoder": ENTRY, DEFAULT: best}}


def test_figures_with_injection_are_those_of_the_default() -> None:
    found = paired_figures(evaluation(), "abc")
    assert found["identity_none"] == {"mean": 0.5, "low": 0.4, "high": 0.6}
    assert found["identity_default"] == {"mean": 0.9, "low": 0.8, "high": 1.0}
    assert found["default"] == DEFAULT
    measures = ("identity", "action", "scene")
    named = {f"{measure}_{kind}" for measure in measures for kind in ("none", "default")}
    assert set(found) == {*named, "default"}


def test_figures_of_other_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="evaluation: got one of the weights abc, allowed: of xyz"):
        paired_figures(evaluation(), "xyz")
    with pytest.raises(ValueError, match="few_steps: got one of the weights abc, allowed: of xyz"):
        few_step_figures({"weights_sha256": "abc", "few_steps": {}}, "xyz")


def test_figures_of_few_steps_are_taken_as_they_are() -> None:
    figures = {"action": {"mean": 0.9, "share": 0.95}, "speed_up": {"mean": 7.0}}
    assert few_step_figures({"weights_sha256": "abc", "few_steps": figures}, "abc") == figures


def test_a_picture_does_not_depend_on_the_others(checkpoint: Path) -> None:
    engines = load_torch_engines(checkpoint)
    three = draw_captions(engines, ["a child", "a cat", "a child"], STAGE)
    two = draw_captions(engines, ["a child", "a cat"], STAGE)
    assert three.shape == (3, 3, SIDE, SIDE)
    assert torch.equal(three[:2], two)
    assert not torch.equal(three[0], three[2])


def test_the_default_is_what_a_server_does_where_nothing_is_said(checkpoint: Path) -> None:
    info = load_torch_engines(checkpoint).info
    (method,) = [method for method in compared(info)[0] if method.name == DEFAULT]
    assert method.injection == Injection(layers=UNET.default_preset)
