"""`upscale` of a storyboard and of a panel."""

from typing import Any

import pytest

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard


def board(**settings: Any) -> Storyboard:
    mia = {"name": "mia", "prompt": "a girl"}
    return Storyboard.model_validate({"characters": [mia], "panels": [{"prompt": "a"}], **settings})


def test_a_panel_is_enlarged_as_it_says_or_as_the_storyboard_says() -> None:
    panels = [{"prompt": "a"}, {"prompt": "b", "upscale": 2}, {"prompt": "c", "upscale": 1}]
    made = board(upscale=4, panels=panels)
    assert [made.effective_upscale(panel) for panel in made.panels] == [4, 2, 1]
    assert made.effective_upscale(made.portrait_panel("mia")) == 1
    assert board().upscale == 1


@pytest.mark.parametrize("factor", [0, 5, -2, 2.0, True, "4"])
def test_other_factors_are_refused(factor: object) -> None:
    allowed = "allowed: 2, 3 or 4, or 1 for none"
    with pytest.raises(StoryboardError, match=rf"^upscale: got {factor!r}, {allowed}$"):
        board(upscale=factor)
    with pytest.raises(StoryboardError, match=rf"panels\[0\].upscale: got {factor!r}, {allowed}"):
        board(panels=[{"prompt": "a", "upscale": factor}])
