"""What is said of texts with weighted words before they are drawn."""

from collections.abc import Iterator, Mapping, Sequence

from lafi.board.error import problem
from lafi.board.storyboard import Storyboard
from lafi.conditioning.prompt_weights import MAX_WEIGHT, WeightError, as_read
from lafi.drawing.long_texts import stage_texts
from lafi.drawing.plan import StagePlan

Plans = Sequence[tuple[StagePlan, ...]]
"""The stages of every panel."""


def weight_problems(storyboard: Storyboard, plans: Plans) -> list[str]:
    """A line for each text with a weight that is not allowed."""
    lines: dict[str, None] = {}
    for field, text in _fields(storyboard, plans).items():
        try:
            as_read(text, weighted=storyboard.prompt_weights)
        except WeightError as error:
            allowed = f"weights of 0 to {MAX_WEIGHT:g}; \\( for a letter, or prompt_weights: false"
            lines[problem(field, error.got, allowed)] = None
    return [*lines]


def weight_notes(storyboard: Storyboard, plans: Plans) -> Iterator[str]:
    """A line for each text in which parentheses, brackets or escapes are no letters."""
    for field, text in _fields(storyboard, plans).items():
        if as_read(text, weighted=storyboard.prompt_weights).text != text:
            yield (
                f"{field}: parentheses and brackets give words a weight and are not read as "
                "letters; prompt_weights: false reads them as they are written"
            )


def _fields(storyboard: Storyboard, plans: Plans) -> Mapping[str, str]:
    return {field: text for field, text, _ in stage_texts(storyboard, plans)}
