"""Conditioners that an installed package brings are found by name, and others refused."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lafi.board.condition import Condition
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning import registry
from lafi.drawing.check import check_drawable
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.input_port import InputPort
from model_infos import model_info

CODE = """
import torch

class Mood:
    ports = ("mood",)

    def prepare(self, settings, window, size):
        if not isinstance(settings.get("joy"), float):
            raise ValueError(f"settings.joy: got {settings.get('joy')!r}, allowed: a number")
        return Prepared(torch.tensor([settings["joy"]] * 3), window)

class Prepared:
    needs_regions = False

    def __init__(self, value, window):
        self.value, self.window = value, window

    def ports(self, step, steps, *, conditional):
        inside = self.window[0] <= step / steps < self.window[1]
        return {"mood": self.value} if inside and conditional else {}

MOOD = Mood()
"""
MODEL = model_info(added_inputs=(InputPort(name="mood", axes=("rows", 3), optional=True),))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that brings the conditioner toy:Mood."""
    (tmp_path / "toy_moods.py").write_text(CODE, encoding="utf-8")
    info = tmp_path / "toy_moods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-moods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{registry.GROUP}]\ntoy:Mood = toy_moods:MOOD\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry.makers.cache_clear()
    yield
    registry.makers.cache_clear()
    sys.modules.pop("toy_moods", None)


@pytest.mark.usefixtures("toy")
def test_a_package_brings_a_conditioner() -> None:
    given = Condition.model_validate({"kind": "toy:Mood", "end": 0.5, "joy": 0.25})
    made = registry.prepared(given, MODEL, (2, 2))
    assert torch.equal(made.ports(0, 4, conditional=True)["mood"], torch.full((3,), 0.25))
    assert made.ports(0, 4, conditional=False) == {}
    assert made.ports(2, 4, conditional=True) == {}


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"kind": "toy:Mod", "joy": 0.5}, r"kind: got 'toy:Mod', allowed: toy:Mood \(did you"),
        ({"kind": "toy:Mood", "joy": "much"}, r"settings.joy: got 'much', allowed: a number"),
    ],
)
def test_what_cannot_be_had_is_named(given: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        registry.prepared(Condition.model_validate(given), MODEL, (2, 2))


def test_without_a_package_there_is_none() -> None:
    registry.makers.cache_clear()
    with pytest.raises(ValueError, match="allowed: none, since no installed package brings one"):
        registry.prepared(Condition(kind="toy:Mood"), MODEL, (2, 2))


@pytest.mark.usefixtures("toy")
def test_a_model_without_the_input_is_refused_before_any_work(checkpoint: Path) -> None:
    engines = load_torch_engines(checkpoint)
    panel = Panel(prompt="a child", conditions=({"kind": "toy:Mood", "joy": 0.5},))
    with pytest.raises(
        StoryboardError,
        match=r"panels\[0\].conditions\[0\].kind: got 'toy:Mood', allowed with a model that has",
    ):
        check_drawable(Storyboard(panels=(panel,)), {"": engines})


def test_a_name_without_a_package_is_no_kind() -> None:
    with pytest.raises(StoryboardError, match="kind: got 'mood', allowed: package:Name of what"):
        Condition(kind="mood")
