"""Rounds of one character's panels, and the rule that recommends a way of refining."""

from typing import Any

import pytest

from benchmarks.refinement import WAYS, recommended, storyboard, wanted_groups
from lafi.board.refinement import panels_read
from lafi.board.stages import Sampling


def test_a_storyboard_shows_one_held_out_character_in_four_settings() -> None:
    groups = wanted_groups(5, 17)
    assert [len(group) for group in groups] == [4] * 5
    assert all(len({id(each.identity) for each in group}) == 1 for group in groups)
    boards = [storyboard(group, Sampling(), number) for number, group in enumerate(groups)]
    assert len({board.characters[0].reference for board in boards}) == 5
    assert len({panel.seed for board in boards for panel in board.panels}) == 20
    for board in boards:
        assert all(len(panels_read(board, number)) == 3 for number in range(4))
        assert {panel.characters for panel in board.panels} == {("who",)}


def test_each_way_is_another_way() -> None:
    assert len({*WAYS.values()}) == len(WAYS)


def found(identity: float, agreement: float, action: float, scene: float) -> dict[str, Any]:
    values = {"identity": identity, "agreement": agreement, "action": action, "scene": scene}
    return {name: {"mean": value} for name, value in values.items()}


@pytest.mark.parametrize(
    ("later", "good"),
    [
        (found(0.6, 0.7, 1.0, 1.0), False),
        (found(0.64, 0.7, 0.98, 1.0), True),
        (found(0.6, 0.74, 1.0, 0.98), True),
        (found(0.7, 0.8, 0.96, 1.0), False),
        (found(0.7, 0.8, 1.0, 0.96), False),
    ],
)
def test_a_gain_counts_only_if_little_is_lost(later: dict[str, Any], good: bool) -> None:
    before = found(0.6, 0.7, 1.0, 1.0)
    assert recommended([before, later]) is good
    assert recommended([before, before, later]) is good
