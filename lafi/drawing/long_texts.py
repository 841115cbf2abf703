"""Texts of a storyboard that are longer than a model's encoder takes.

They are encoded in windows, or one encoder reads only their beginning while another reads them
whole; a note says so. What no encoder would read is refused before any work.
"""

from collections.abc import Iterator, Mapping, Sequence

from lafi.board.error import Verbatim, problem, shown
from lafi.board.storyboard import Storyboard
from lafi.conditioning.prompt_weights import as_read
from lafi.drawing.plan import StagePlan
from lafi.model.families.registry import text_stack_of
from lafi.model.info import ModelInfo
from lafi.model.text_stack import TextSize
from lafi.ports.engines import Engines
from lafi.wire.events import PromptTokens


def long_text_problems(
    storyboard: Storyboard,
    plans: Sequence[tuple[StagePlan, ...]],
    engines: Mapping[str, Engines],
) -> list[str]:
    """A line for each text whose end would be missing; plans: of every panel."""
    found = (
        (field, each.prompts.unread(_letters(storyboard, text)), each.info)
        for field, text, each in _texts(storyboard, plans, engines)
    )
    return [
        problem(field, Verbatim(f"{shown(end)} too much"), _allowed(info))
        for field, end, info in found
        if end
    ]


def window_notes(
    storyboard: Storyboard,
    plans: Sequence[tuple[StagePlan, ...]],
    engines: Mapping[str, Engines],
) -> list[str]:
    """A line for each text with several windows, or that an encoder reads partly.

    plans: of every panel.
    """
    found = [
        (field, each.prompts.size(_letters(storyboard, text)), each.info)
        for field, text, each in _texts(storyboard, plans, engines)
    ]
    windows = [
        f"{field}: {size.tokens} tokens, read in {size.windows} windows "
        f"(one ends at BREAK or when it is full; {info.name})"
        for field, size, info in found
        if size.windows > 1
    ]
    return windows + [
        f"{field}: {size.partly} ({info.name})" for field, size, info in found if size.partly
    ]


def prompt_tokens(
    storyboard: Storyboard,
    plans: Sequence[tuple[StagePlan, ...]],
    engines: Mapping[str, Engines],
) -> tuple[PromptTokens, ...]:
    """How long each text is that is not empty; plans: of every panel."""
    sizes: dict[tuple[str, str], TextSize] = {}
    found: dict[PromptTokens, None] = {}
    for field, text, stage in stage_texts(storyboard, plans):
        if not text:
            continue
        each, key = engines[stage.variant], (stage.variant, text)
        if key not in sizes:
            sizes[key] = each.prompts.size(_letters(storyboard, text))
        size, length = sizes[key], each.info.text_length
        entry = PromptTokens(field=field, tokens=size.tokens, windows=size.windows, window=length)
        found[entry] = None
    return tuple(found)


def _letters(storyboard: Storyboard, text: str) -> str:
    """The text without the marks of weights."""
    return as_read(text, weighted=storyboard.prompt_weights).text


def _allowed(info: ModelInfo) -> str:
    windows = "" if info.text_windows == 1 else f"{info.text_windows} windows of "
    allowed = f"at most {windows}{info.text_length} tokens with {info.name}"
    most = text_stack_of(info).windows
    if info.text_windows < most:
        allowed += (
            f", which was exported before longer texts could be read; export it again for {most} "
            "windows"
        )
    return allowed


def _texts(
    storyboard: Storyboard,
    plans: Sequence[tuple[StagePlan, ...]],
    engines: Mapping[str, Engines],
) -> Iterator[tuple[str, str, Engines]]:
    """Field, text and engines: each field once for each of its texts and models."""
    fields = {(stage.variant, text): field for field, text, stage in stage_texts(storyboard, plans)}
    for (variant, text), field in fields.items():
        yield field, text, engines[variant]


def stage_texts(
    storyboard: Storyboard, plans: Sequence[tuple[StagePlan, ...]]
) -> Iterator[tuple[str, str, StagePlan]]:
    """Field, text and stage of all that is encoded; plans: of every panel."""
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
