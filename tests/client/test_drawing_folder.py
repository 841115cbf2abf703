"""Which pictures of a folder still match: here what `upscale` changes."""

from __future__ import annotations

from typing import Any

from lafi.board.storyboard import Storyboard
from lafi_client.album import panel_entry
from lafi_client.drawing_folder import panel_settings

PANELS: list[dict[str, Any]] = [
    {"prompt": "a"},
    {"prompt": "b", "upscale": 1, "sampling": {"from": 0, "denoise": 0.5}},
]


def board(**settings: Any) -> Storyboard:
    return Storyboard.model_validate({"panels": PANELS, **settings})


def test_a_panel_that_is_enlarged_otherwise_is_drawn_again() -> None:
    found = {panel_settings(board(upscale=factor), 0) for factor in (1, 2, 3, 4)}
    assert len(found) == 4


def test_the_storyboards_factor_and_the_panels_own_mean_the_same() -> None:
    own = board(panels=[{"prompt": "a", "upscale": 2}])
    assert panel_settings(board(upscale=2), 0) == panel_settings(own, 0)


def test_a_panel_that_begins_with_an_enlarged_one_stays() -> None:
    assert panel_settings(board(upscale=4), 1) == panel_settings(board(), 1)


def test_the_report_says_how_much_a_panel_is_enlarged() -> None:
    assert [panel_entry(board(upscale=3), number).upscale for number in (0, 1)] == [3, 1]
