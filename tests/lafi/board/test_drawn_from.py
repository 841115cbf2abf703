"""Every picture that has a part in a panel is named, so that none outlives its character."""

from typing import Any

import pytest
from plain_loop import picture

from lafi.board.checks import pictures_of
from lafi.board.drawn_from import drawn_from
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Storyboard

PICTURES = [picture(number, 16, 16) for number in range(8)]
CAST: list[dict[str, Any]] = [
    {"name": "mia", "prompt": "a girl", "reference": PICTURES[0]},
    {"name": "tom", "prompt": "a man", "reference": PICTURES[1]},
]


def found(panel: dict[str, Any], *earlier: dict[str, Any]) -> set[int]:
    """Which of PICTURES the last panel is drawn from."""
    board = Storyboard.model_validate({"characters": CAST, "panels": [*earlier, panel]})
    given = {ReferenceImage(data=data).sha256: number for number, data in enumerate(PICTURES)}
    return {given[each.sha256] for each in drawn_from(board, board.panels[-1])}


@pytest.mark.parametrize(
    ("panel", "expected"),
    [
        ({"prompt": "a house"}, set()),
        ({"prompt": "{mia}"}, {0}),
        ({"prompt": "{mia}", "references": [{"character": "mia", "image": PICTURES[2]}]}, {0, 2}),
        ({"prompt": "a house", "picture_prompts": [{"character": "tom"}]}, {1}),
        ({"prompt": "a house", "picture_prompts": [{"image": PICTURES[3]}]}, {3}),
        ({"prompt": "a house", "control": [{"kind": "edges", "image": PICTURES[4]}]}, {4}),
        (
            {
                "prompt": "a house",
                "sampling": {"from": PICTURES[5], "mask": PICTURES[6], "denoise": 0.5},
            },
            {5, 6},
        ),
    ],
)
def test_each_kind_of_picture(panel: dict[str, Any], expected: set[int]) -> None:
    assert found(panel) == expected


def test_what_a_panel_begins_with_counts_too() -> None:
    first = {"prompt": "{mia}"}
    second = {"prompt": "a house", "sampling": {"from": 0, "denoise": 0.5}}
    third = {"prompt": "{tom}", "sampling": {"from": 1, "denoise": 0.5}}
    assert found(third, first, second) == {0, 1}


def test_no_kind_of_picture_is_left_out() -> None:
    """All that a storyboard of one panel may hold, wherever it stands."""
    panel = {
        "prompt": "{mia} and {tom}",
        "references": [{"character": "mia", "image": PICTURES[2]}],
        "picture_prompts": [{"image": PICTURES[3]}],
        "control": [{"kind": "edges", "image": PICTURES[4]}],
        "sampling": {"from": PICTURES[5], "mask": PICTURES[6], "denoise": 0.5},
    }
    board = Storyboard.model_validate({"characters": CAST, "panels": [panel]})
    assert {each.sha256 for each in drawn_from(board, board.panels[0])} == {
        each.sha256 for _, each in pictures_of(board)
    }
