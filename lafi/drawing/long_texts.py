"""Texts of a storyboard that a model does not read to their end.

A text stack cuts them, which a note says, or they are refused before any work.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lafi.board.error import Verbatim, problem, shown
from lafi.board.storyboard import Storyboard
from lafi.drawing.plan import StagePlan
from lafi.model.families.registry import text_stack_of
from lafi.ports.engines import Engines


class _LongText(NamedTuple):
    """The field of a text, the end of it that is not read, and the model that does not."""

    field: str
    end: str
    engines: Engines


def long_text_problems(
    storyboard: Storyboard,
    plans: Sequence[tuple[StagePlan, ...]],
    engines: Mapping[str, Engines],
) -> list[str]:
    """A line for each text whose end would be missing; plans: of every panel."""
    return [
        problem(
            found.field,
            Verbatim(f"{shown(found.end)} too much"),
            f"at most {found.engines.info.text_length} tokens with {found.engines.info.name}",
        )
        for found in _long_texts(storyboard, plans, engines)
        if not text_stack_of(found.engines.info).cuts
    ]


def long_text_notes(
    storyboard: Storyboard,
    plans: Sequence[tuple[StagePlan, ...]],
    engines: Mapping[str, Engines],
) -> list[str]:
    """A line for each text that is drawn without its end; plans: of every panel."""
    return [
        f"{found.field}: too long for {found.engines.info.name}, which reads "
        f"{found.engines.info.text_length} tokens; left out: {shown(found.end)}"
        for found in _long_texts(storyboard, plans, engines)
        if text_stack_of(found.engines.info).cuts
    ]


def _long_texts(
    storyboard: Storyboard,
    plans: Sequence[tuple[StagePlan, ...]],
    engines: Mapping[str, Engines],
) -> Iterator[_LongText]:
    """Each field once for each of its texts and models."""
    fields = {(stage.variant, text): field for field, text, stage in _texts(storyboard, plans)}
    for (variant, text), field in fields.items():
        end = engines[variant].prompts.unread(text)
        if end:
            yield _LongText(field, end, engines[variant])


def _texts(
    storyboard: Storyboard, plans: Sequence[tuple[StagePlan, ...]]
) -> Iterator[tuple[str, str, StagePlan]]:
    for index, stages in enumerate(plans):
        for stage in stages:
            own = stage.settings.prompt is not None
            where = f"sampling.stages[{stage.number - 1}].prompt" if own else "prompt"
            yield f"panels[{index}].{where}", stage.text, stage
            if stage.guided:
                yield f"panels[{index}].negative_prompt", stage.negative, stage
            for name in stage.reads:
                character = storyboard.character(name)
                place = storyboard.characters.index(character)
                yield f"characters[{place}].prompt", character.caption, stage
