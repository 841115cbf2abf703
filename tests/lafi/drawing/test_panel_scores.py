"""Scores of panels against the pictures of their characters."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lafi.board.letterbox import Pixels
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.panel_scores import PanelScores, retry_problems
from lafi.engine.onnx.recogniser import OnnxRecogniser, load_recogniser
from lafi.ports.recogniser import Embeddings


class Counted:
    """A recogniser that remembers how many pictures each call had."""

    def __init__(self, recogniser: OnnxRecogniser) -> None:
        self._recogniser = recogniser
        self.info = recogniser.info
        self.sha256 = recogniser.sha256
        self.calls: list[int] = []

    def __call__(self, pictures: Sequence[Pixels]) -> Embeddings:
        self.calls.append(len(pictures))
        return self._recogniser(pictures)


@pytest.fixture
def recogniser(recogniser_folder: Path) -> Counted:
    return Counted(load_recogniser(recogniser_folder, threads=1))


def picture(seed: int, size: tuple[int, int] = (32, 32)) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def reference(pixels: Pixels) -> ReferenceImage:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return ReferenceImage(data=buffer.getvalue())


def board(panel: Panel) -> Storyboard:
    characters = (
        Character(name="mia", prompt="a child", reference=reference(picture(1))),
        Character(name="tom", prompt="a child", reference=reference(picture(2))),
        Character(name="ann", prompt="a child"),
    )
    return Storyboard(characters=characters, panels=(panel,))


def test_a_panel_that_is_the_picture_scores_1(recogniser: Counted) -> None:
    panel = Panel(prompt="{mia} and {tom}")
    scores = PanelScores(board(panel), recogniser).of(panel, picture(1))
    assert scores["mia"] == 1.0
    assert scores["tom"] < 0.99
    assert list(scores) == ["mia", "tom"]


def test_a_region_alone_is_compared_where_one_is_given(recogniser: Counted) -> None:
    panel = Panel(
        prompt="{mia} and {tom}",
        regions={"mia": (0.0, 0.0, 0.5, 1.0), "tom": (0.5, 0.0, 1.0, 1.0)},
    )
    both = np.concatenate([picture(1), picture(2)], axis=1)
    assert PanelScores(board(panel), recogniser).of(panel, both) == {"mia": 1.0, "tom": 1.0}


def test_a_character_without_a_picture_has_no_score(recogniser: Counted) -> None:
    panel = Panel(prompt="{ann} and {mia}")
    scores = PanelScores(board(panel), recogniser)
    assert list(scores.of(panel, picture(3))) == ["mia"]
    scores.know("ann", picture(3, (48, 32)))
    assert list(scores.of(panel, picture(3, (48, 32)))) == ["ann", "mia"]
    assert scores.of(panel, picture(3, (48, 32)))["ann"] == 1.0
    assert PanelScores(board(panel), None).of(panel, picture(3)) == {}
    nobody = Panel(prompt="a beach")
    assert PanelScores(board(nobody), recogniser).of(nobody, picture(3)) == {}


def test_a_place_has_no_score(recogniser: Counted) -> None:
    given = board(Panel(prompt="{mia} and {tom}"))
    tom = given.character("tom").model_copy(update={"kind": "place"})
    story = given.model_copy(update={"characters": (given.character("mia"), tom)})
    found = PanelScores(story, recogniser).of(story.panels[0], picture(1))
    assert {*found} == {"mia"}


def test_a_picture_is_embedded_once_and_with_the_first_panel(recogniser: Counted) -> None:
    panel = Panel(prompt="{mia} and {tom}")
    scores = PanelScores(board(panel), recogniser)
    for _ in range(3):
        scores.of(panel, picture(4))
    assert recogniser.calls == [3, 1, 1]


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.floats(0, 1)] * 4), st.integers(8, 40), st.integers(8, 40))
def test_any_region_gives_a_score(
    recogniser_folder: Path, corners: tuple[float, ...], height: int, width: int
) -> None:
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    if x0 == x1 or y0 == y1:
        x0, x1, y0, y1 = 0.0, 1.0, 0.0, 1.0
    panel = Panel(prompt="{mia}", regions={"mia": (x0, y0, x1, y1)})
    scores = PanelScores(board(panel), load_recogniser(recogniser_folder, threads=1))
    assert -1 <= scores.of(panel, picture(5, (height, width)))["mia"] <= 1


def test_asking_for_scores_where_there_are_none_is_a_problem(recogniser: Counted) -> None:
    panel = Panel(prompt="{mia}", retry_below=0.5)
    asked = board(panel).model_copy(update={"retry_below": 0.25})
    assert retry_problems(asked, recogniser) == []
    first, second = retry_problems(asked, None)
    assert first.startswith("retry_below: got 0.25, allowed: nothing here")
    assert second.startswith("panels[0].retry_below: got 0.5, allowed: nothing here")
    assert retry_problems(board(Panel(prompt="{mia}", retries=3)), None) == []
