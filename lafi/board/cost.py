"""What a storyboard costs to draw, known before any work: pixels x steps, in millions.

References, guidance and texts are left out: what one panel costs beside another is what counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lafi.board.stages import SamplingStage
from lafi.board.storyboard import Panel, Storyboard


@dataclass(frozen=True, slots=True)
class Cost:
    """megapixel_steps: of all pictures, every retry counted and no step reused.

    steps: of all pictures, likewise. longest: of the picture that takes most, one drawing of it.
    """

    megapixel_steps: float
    steps: int
    longest: int


def storyboard_cost(storyboard: Storyboard) -> Cost:
    """The most that drawing every panel, and the portraits that they need, can cost."""
    pictures = [*storyboard.panels, *_portraits(storyboard)]
    drawings = [_drawings(storyboard, panel) for panel in pictures]
    steps = [_steps(storyboard, panel) for panel in pictures]
    each = [_megapixel_steps(storyboard, panel) for panel in pictures]
    return Cost(_product(drawings, each), round(_product(drawings, steps)), max(steps))


def _portraits(storyboard: Storyboard) -> Iterable[Panel]:
    named = {name for panel in storyboard.panels for name in panel.characters}
    for character in storyboard.characters:
        if character.reference is None and character.name in named:
            yield storyboard.portrait_panel(character.name)


def _drawings(storyboard: Storyboard, panel: Panel) -> int:
    retry = storyboard.effective_retry(panel)
    return 1 + (retry.most if retry is not None and panel.characters else 0)


def _megapixel_steps(storyboard: Storyboard, panel: Panel) -> float:
    size = storyboard.effective_size(panel)
    stages = storyboard.effective_sampling(panel).stages
    return sum(stage.steps * _megapixels(stage, size) for stage in stages)


def _steps(storyboard: Storyboard, panel: Panel) -> int:
    return sum(stage.steps for stage in storyboard.effective_sampling(panel).stages)


def _megapixels(stage: SamplingStage, size: tuple[int, int]) -> float:
    given = 1.0 if stage.size is None else stage.size
    width, height = given if isinstance(given, tuple) else (given * side for side in size)
    return width * height / 1e6


def _product(counts: Sequence[int], each: Sequence[float]) -> float:
    return sum(count * one for count, one in zip(counts, each, strict=True))
