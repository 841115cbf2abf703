"""Picture prompts of a panel: what is taken, and what is refused in which words."""

import json
from typing import Any

import pytest

from lafi.board.checks import pictures_of
from lafi.board.error import StoryboardError
from lafi.board.picture_prompt import PicturePrompt
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Storyboard, parse_storyboard
from lafi.wire.contract import storyboard_from_tensors, storyboard_to_tensors

MIA = {"name": "mia", "prompt": "a girl"}


def board(*prompts: Any) -> Storyboard:
    panel = {"prompt": "a child", "picture_prompts": [*prompts]}
    return Storyboard(characters=[MIA], panels=[panel])


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({}, "[0]: got image and character, or neither, allowed: one of the two"),
        ({"character": "mya"}, "[0].character: got 'mya', allowed: mia (did you mean mia?)"),
        ({"character": "m!"}, "[0].character: got 'm!', allowed: a name of 1 to 64 letters"),
        (
            {"character": "mia", "strength": float("nan")},
            "[0].strength: got nan, allowed: -10 to 10",
        ),
        ({"character": "mia", "strength": 11}, "[0].strength: got 11, allowed: -10 to 10"),
        ({"character": "mia", "start": 1.5}, "[0].start: got 1.5, allowed: 0 to 1"),
        (
            {"character": "mia", "start": 0.6, "end": 0.5},
            "[0].end: got 0.5, allowed: more than 0.6 (its start), at most 1",
        ),
        (
            {"character": "mia", "region": [0, 0, 1.5, 1]},
            "[0].region: got [0, 0, 1.5, 1], allowed: [x0, y0, x1, y1] with 0 <= x0",
        ),
        ({"image": b"some text"}, "[0].image: got 9 bytes that are no image, allowed: a PNG"),
        ({"character": "mia", "scale": 1}, "[0].scale: unknown field, allowed: "),
    ],
)
def test_what_is_refused(prompt: dict[str, Any], said: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        board(prompt)
    lines = refused.value.problems
    assert any(line.startswith(f"panels[0].picture_prompts{said}") for line in lines), lines


def test_an_image_and_a_character_are_one_too_many(png: bytes) -> None:
    with pytest.raises(StoryboardError, match="got image and character, or neither"):
        board({"image": png, "character": "mia"})


def test_there_are_at_most_three() -> None:
    with pytest.raises(
        StoryboardError, match=r"picture_prompts: got 4 entries, allowed: a list of"
    ):
        board(*[{"character": "mia"}] * 4)


def test_it_crosses_the_wire_with_its_picture(png: bytes) -> None:
    """A picture that something else names too is sent once."""
    prompts = [{"image": png, "strength": -0.5}, {"character": "mia", "region": [0, 0, 0.5, 1]}]
    sent = Storyboard(
        characters=[MIA | {"reference": png}],
        panels=[{"prompt": "{mia}", "picture_prompts": prompts}],
    )
    tensors = storyboard_to_tensors(sent)
    assert tensors["REFERENCES"].tolist() == [png]
    assert storyboard_from_tensors(tensors["STORYBOARD"], tensors["REFERENCES"]) == sent
    fields = [field for field, _ in pictures_of(sent)]
    assert fields == ["characters[0].reference", "panels[0].picture_prompts[0].image"]


def test_a_file_names_its_picture(png: bytes, tmp_path: Any) -> None:
    (tmp_path / "style.png").write_bytes(png)
    text = "panels:\n- prompt: a child\n  picture_prompts:\n  - {image: %s}\n"
    read = parse_storyboard(text % "style.png", tmp_path)
    assert read.panels[0].picture_prompts[0].image == ReferenceImage(data=png)
    with pytest.raises(StoryboardError, match=r"picture_prompts\[0\].image: got 'other.png'"):
        parse_storyboard(text % "other.png", tmp_path)


def test_its_description_names_the_picture_and_holds_no_bytes(png: bytes) -> None:
    described = PicturePrompt(image=png).described()
    assert described["image"] == ReferenceImage(data=png).sha256
    assert json.loads(json.dumps(described)) == described
