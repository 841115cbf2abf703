"""What panels become on a model, and what is said where that differs from what was written."""

from typing import Any

from lafi.board.storyboard import Storyboard
from lafi.drawing.plan import StagePlan, at_own_size, notes, plan_panel
from model_infos import model_info

MODEL = model_info(side_multiple=16)


def planned(**fields: Any) -> tuple[Storyboard, list[tuple[StagePlan, ...]]]:
    document = {"width": 64, "height": 96, "panels": [{"prompt": "a"}, {"prompt": "b"}]} | fields
    board = Storyboard.model_validate(document)
    return board, [plan_panel(board, panel, {"": MODEL}) for panel in board.panels]


def test_sizes_are_rounded_to_the_models_multiple_and_that_is_said_once() -> None:
    stages = [{"size": [40, 56]}, {"size": 0.5, "denoise": 0.5}, {"denoise": 0.5}]
    board, plans = planned(sampling={"stages": stages})
    assert [stage.size for stage in plans[0]] == [(32, 64), (32, 48), (64, 96)]
    assert [*notes(board, plans)] == ["sampling.stages[0].size: 40 x 56 is drawn as 32 x 64"]


def test_what_has_no_effect_is_said() -> None:
    stages = [{"guidance": 1.0}, {"guidance": 1.0}]
    board, plans = planned(negative_prompt="blur", sampling={"stages": stages})
    anew = "1 draws everything anew, and nothing of what came before stays"
    assert [*notes(board, plans)] == [
        "negative_prompt: has no effect where guidance is 1 (sampling.stages[0])",
        f"sampling.stages[1].denoise: {anew}",
        "negative_prompt: has no effect where guidance is 1 (sampling.stages[1])",
    ]


def test_nothing_is_said_where_all_is_drawn_as_written() -> None:
    board, plans = planned(negative_prompt="blur", sampling={"guidance": 4.0})
    assert [*notes(board, plans)] == []


def test_a_size_that_is_not_set_is_the_models_own() -> None:
    models = {"": model_info(own_side=256)}
    panels = [{"prompt": "a hill"}]
    for given, size in (({}, (256, 256)), ({"width": 64}, (64, 256)), ({"height": 32}, (256, 32))):
        board = at_own_size(Storyboard.model_validate({"panels": panels, **given}), models)
        assert (board.width, board.height) == size
        assert at_own_size(board, {"": model_info(own_side=512)}) == board
    unknown = Storyboard.model_validate({"panels": panels, "variant": "ink"})
    assert at_own_size(unknown, models) is unknown
