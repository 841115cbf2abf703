"""What is refused before any work."""

from typing import cast

import pytest

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.check import check_variant
from lafi.ports.engines import Engines

ENGINES = {name: cast(Engines, object()) for name in ("", "ink", "oil")}


def storyboard(variant: str = "") -> Storyboard:
    return Storyboard(variant=variant, panels=(Panel(prompt="a child"),))


@pytest.mark.parametrize("name", ENGINES)
def test_the_named_variant_draws(name: str) -> None:
    check_variant(storyboard(name), ENGINES)


def test_an_unknown_variant_is_refused_with_what_there_is() -> None:
    with pytest.raises(StoryboardError, match=r"variant: got 'inc', allowed: ink, oil"):
        check_variant(storyboard("inc"), ENGINES)
    with pytest.raises(StoryboardError, match="allowed: none, since this model has no variants"):
        check_variant(storyboard("ink"), {"": ENGINES[""]})
