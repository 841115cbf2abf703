"""Further references of a panel: what is taken, what is refused, and what of a picture is shown."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from plain_loop import picture

from lafi.board.checks import pictures_of
from lafi.board.error import StoryboardError
from lafi.board.further_reference import FurtherReference
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Storyboard, parse_storyboard
from lafi.wire.contract import storyboard_from_tensors, storyboard_to_tensors

MIA, TOM = {"name": "mia", "prompt": "a girl"}, {"name": "tom", "prompt": "a man"}
BACK = picture(5, 24, 16)


def board(*references: Any) -> Storyboard:
    panel = {"prompt": "{mia} runs", "references": [*references]}
    return Storyboard(characters=[MIA, TOM], panels=[panel])


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"character": "mia"}, "[0].image: got nothing, allowed: a PNG"),
        ({"image": BACK}, "[0].character: got nothing, allowed: a name of 1 to 64"),
        (
            {"image": BACK, "character": "tom"},
            "[0].character: got 'tom', allowed: mia, who are in this panel",
        ),
        (
            {"image": BACK, "character": "mya"},
            "[0].character: got 'mya', allowed: mia (did you mean mia?), who are in this panel",
        ),
        (
            {"image": BACK, "character": "mia", "part": [0.5, 0, 0.5, 1]},
            "[0].part: got [0.5, 0, 0.5, 1], allowed: [x0, y0, x1, y1] with 0 <= x0",
        ),
        ({"image": b"text", "character": "mia"}, "[0].image: got 4 bytes that are no image"),
        ({"image": BACK, "character": "mia", "strength": 1}, "[0].strength: unknown field"),
    ],
)
def test_what_is_refused(reference: dict[str, Any], said: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        board(reference)
    lines = refused.value.problems
    assert any(line.startswith(f"panels[0].references{said}") for line in lines), lines


def test_there_are_at_most_four() -> None:
    one = {"image": BACK, "character": "mia"}
    assert len(board(*[one] * 4).panels[0].references) == 4
    with pytest.raises(StoryboardError, match=r"references: got 5 entries, allowed: a list of at"):
        board(*[one] * 5)


def test_it_crosses_the_wire_with_its_picture() -> None:
    """A picture that something else names too is sent once."""
    sent = Storyboard(
        characters=[MIA | {"reference": BACK}],
        panels=[
            {
                "prompt": "{mia}",
                "references": [{"image": BACK, "character": "mia", "part": [0, 0, 0.5, 1]}],
            }
        ],
    )
    tensors = storyboard_to_tensors(sent)
    assert tensors["REFERENCES"].tolist() == [BACK]
    assert storyboard_from_tensors(tensors["STORYBOARD"], tensors["REFERENCES"]) == sent
    fields = [field for field, _ in pictures_of(sent)]
    assert fields == ["characters[0].reference", "panels[0].references[0].image"]


def test_a_file_names_its_picture(tmp_path: Any) -> None:
    (tmp_path / "back.png").write_bytes(BACK)
    text = (
        "characters:\n- {name: mia, prompt: a girl}\npanels:\n- prompt: '{mia}'\n"
        "  references:\n  - {character: mia, image: %s}\n"
    )
    read = parse_storyboard(text % "back.png", tmp_path)
    assert read.panels[0].references[0].image == ReferenceImage(data=BACK)
    with pytest.raises(StoryboardError, match=r"references\[0\].image: got 'other.png'"):
        parse_storyboard(text % "other.png", tmp_path)


def test_its_description_names_the_picture_and_holds_no_bytes() -> None:
    described = FurtherReference(character="mia", image=BACK).described()
    assert described["image"] == ReferenceImage(data=BACK).sha256
    assert json.loads(json.dumps(described)) == described


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 100), min_size=4, max_size=4))
def test_a_part_keeps_the_picture_inside_and_nothing_outside(sides: list[int]) -> None:
    x0, x1 = sorted(sides[:2])
    y0, y1 = sorted(sides[2:])
    part = (x0 / 101, y0 / 101, (x1 + 1) / 101, (y1 + 1) / 101)
    reference = FurtherReference(character="mia", image=BACK, part=part)
    shown = np.asarray(reference.shown())
    whole = np.asarray(Image.open(io.BytesIO(BACK)).convert("RGBA"))
    assert shown.shape == whole.shape
    inside = shown[..., 3] == 255
    assert inside.any()
    assert np.array_equal(shown[inside], whole[inside])
    assert not shown[~inside].any()
    height, width = inside.shape
    columns, rows = inside.any(0).sum(), inside.any(1).sum()
    assert abs(columns - (part[2] - part[0]) * width) <= 1.5
    assert abs(rows - (part[3] - part[1]) * height) <= 1.5


def test_parts_of_a_picture_have_contents_of_their_own() -> None:
    parts = [None, (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
    made = [FurtherReference(character="mia", image=BACK, part=part) for part in parts]
    assert len({reference.content for reference in made}) == 3
    assert made[0].content == ReferenceImage(data=BACK).sha256
    assert made[0].shown() is made[0].image.image()
