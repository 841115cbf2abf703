"""The fast way is the recipe as it is, and its figures are shares of the other way's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.few_steps import compared, fast_boards, in_turns, model_boards
from lafi.board.injection import Injection
from lafi.board.stages import Sampling
from lafi.board.storyboard import Storyboard
from lafi.drawing.images import encode_png
from lafi.wire.events import PanelImage
from lafi_client import StoryboardClient
from lafi_tiny.stages.agreement import held_out_wanted

FULL = Sampling.model_validate({"steps": 30, "sampler": "DDIM", "guidance": 4.0})


def test_both_ways_draw_the_same_panels_and_differ_in_the_recipe_alone() -> None:
    wanted = held_out_wanted(10, 11)
    full, (fast, without) = model_boards(wanted, FULL), fast_boards(wanted)
    assert [len(board.panels) for board in fast] == [8, 2]
    changed = {"variant": "", "sampling": FULL, "injection": Injection()}
    same = [board.model_copy(update=changed) for board in fast]
    assert same == full
    assert [board.model_copy(update={"variant": "fast"}) for board in without] == fast
    assert {board.variant for board in fast} == {"fast"}
    stage = fast[0].sampling.stages[0]
    assert (stage.steps, stage.sampler, stage.guidance) == (4, "LCM", 1)
    assert {board.injection.layers for board in fast} == {"texture"}


def figures(mean: float) -> dict[str, Any]:
    return {key: {"mean": mean, "low": 0.0, "high": 1.0} for key in ("action", "scene", "identity")}


def test_shares_and_the_speed_up_are_ratios_of_the_same_storyboards() -> None:
    found = compared(figures(0.6), figures(0.8), [1.0, 2.0], [10.0, 10.0])
    assert found["action"] == {"mean": 0.6, "low": 0.0, "high": 1.0, "share": pytest.approx(0.75)}
    assert found["speed_up"]["mean"] == pytest.approx(7.5)


@dataclass
class Drawing:
    """Stands for a client: draws panels of one colour and remembers what was asked for."""

    kept: bool = False
    asked: list[Storyboard] = field(default_factory=list)

    def draw_all(self, board: Storyboard) -> Sequence[PanelImage]:
        self.asked.append(board)
        png = encode_png(np.zeros((8, 8, 3), np.uint8))
        return [
            PanelImage(panel=i, png=png, seed=0, prompt="", address="", seconds=0, kept=self.kept)
            for i in range(len(board.panels))
        ]


def test_the_ways_take_turns_and_no_storyboard_is_asked_for_twice() -> None:
    wanted = held_out_wanted(16, 11)
    boards = {"thirty_steps": model_boards(wanted, FULL), "fast": fast_boards(wanted)[0]}
    client = Drawing()
    pixels, seconds = in_turns(cast(StoryboardClient, client), boards)
    assert [board.variant for board in client.asked] == ["", "fast", "fast", "", "", "fast"]
    assert len({board.model_dump_json() for board in client.asked}) == 6
    assert {name: len(found) for name, found in pixels.items()} == {"thirty_steps": 16, "fast": 16}
    assert {name: len(found) for name, found in seconds.items()} == {"thirty_steps": 2, "fast": 2}


def test_panels_of_the_store_are_an_error() -> None:
    boards = {"thirty_steps": model_boards(held_out_wanted(1, 11), FULL)}
    with pytest.raises(RuntimeError, match="kept: got panels of the store"):
        in_turns(cast(StoryboardClient, Drawing(kept=True)), boards)
