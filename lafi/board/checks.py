"""Checks that need several fields of a storyboard, such as names that must match.

Each function gives one line per problem, none when all is well.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from lafi.board.control_checks import control_problems
from lafi.board.error import MAX_LINES, Verbatim, closest, problem
from lafi.board.further_reference_checks import further_reference_problems
from lafi.board.limits import MAX_CHARACTERS_PER_PANEL, MAX_EXPANDED_PROMPT_BYTES, MAX_PICTURES
from lafi.board.picture_prompt_checks import picture_prompt_problems
from lafi.board.placed_object import object_problems, words_problems
from lafi.board.stage_checks import (
    injection_problems,
    place_problems,
    sampling_problems,
    stage_fields,
)

if TYPE_CHECKING:
    from lafi.board.reference_image import ReferenceImage
    from lafi.board.storyboard import Panel, Storyboard

_LORA: Final = re.compile(r"<\s*(?:lora|lyco|hypernet)\s*:[^<>]*>", re.IGNORECASE)


def storyboard_problems(storyboard: "Storyboard") -> list[str]:
    """Checks names, regions, braces, and settings that must fit each other; the first problems."""
    return [*islice(_all_problems(storyboard), MAX_LINES + 1)]


def _all_problems(storyboard: "Storyboard") -> Iterator[str]:
    names = [character.name for character in storyboard.characters]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield problem(f"characters[{index}].name", name, "a name that no other character has")
    yield from _lora_problems("negative_prompt", storyboard.negative_prompt)
    yield from _lora_problems("trigger", storyboard.trigger)
    for index, character in enumerate(storyboard.characters):
        yield from _lora_problems(f"characters[{index}].trigger", character.trigger)
        yield from _lora_problems(f"characters[{index}].prompt", character.prompt)
    yield from sampling_problems("sampling", storyboard.sampling)
    yield from injection_problems("injection", storyboard.injection)
    for index, panel in enumerate(storyboard.panels):
        yield from _panel_problems(index, panel, storyboard, names)
    if (count := len({picture.data for _, picture in pictures_of(storyboard)})) > MAX_PICTURES:
        got = Verbatim(f"{count} different pictures")
        allowed = f"at most {MAX_PICTURES} in references, from, mask, control and picture_prompts"
        yield problem("", got, allowed)


def pictures_of(storyboard: "Storyboard") -> Iterator[tuple[str, "ReferenceImage"]]:
    """Every picture with its field: references, of stages and masks, controls, picture prompts."""
    for index, character in enumerate(storyboard.characters):
        if character.reference is not None:
            yield f"characters[{index}].reference", character.reference
    own = ((f"panels[{i}].sampling", p.sampling) for i, p in enumerate(storyboard.panels))
    for field, sampling in (("sampling", storyboard.sampling), *own):
        for where, stage in stage_fields(field, sampling) if sampling else ():
            for name, slot in (("from", stage.source), ("mask", stage.mask)):
                if slot is not None and slot.image is not None:
                    yield f"{where}.{name}", slot.image
    for index, panel in enumerate(storyboard.panels):
        for place, control in enumerate(panel.control):
            if control.image is not None:
                yield f"panels[{index}].control[{place}].image", control.image
        for place, prompt in enumerate(panel.picture_prompts):
            if prompt.image is not None:
                yield f"panels[{index}].picture_prompts[{place}].image", prompt.image
        for place, reference in enumerate(panel.references):
            yield f"panels[{index}].references[{place}].image", reference.image


def _panel_problems(
    index: int, panel: "Panel", storyboard: "Storyboard", names: list[str]
) -> Iterator[str]:
    field = f"panels[{index}]"
    yield from _prompt_problems(f"{field}.prompt", panel.prompt, panel, storyboard, names)
    yield from _lora_problems(f"{field}.negative_prompt", panel.negative_prompt)
    if len(panel.characters) > MAX_CHARACTERS_PER_PANEL:
        got = Verbatim(f"{len(panel.characters)} of them: {', '.join(panel.characters)}")
        allowed = (
            f"at most {MAX_CHARACTERS_PER_PANEL} characters (name those to read in characters)"
        )
        yield problem(f"{field}.prompt", got, allowed)
    for place, name in enumerate(panel.characters):
        if name not in names:
            if "characters" in panel.model_fields_set:
                yield problem(f"{field}.characters[{place}]", name, _one_of(name, names))
        elif name in panel.characters[:place]:
            yield problem(f"{field}.characters[{place}]", name, "each character once")
    for name in panel.regions:
        if name not in panel.characters:
            allowed = _one_of(name, panel.characters)
            yield problem(f"{field}.regions", name, f"{allowed}, who are in this panel")
    if panel.sampling is not None:
        yield from sampling_problems(f"{field}.sampling", panel.sampling)
    if panel.injection is not None:
        yield from injection_problems(f"{field}.injection", panel.injection)
    yield from control_problems(f"{field}.control", panel.control)
    yield from picture_prompt_problems(f"{field}.picture_prompts", panel.picture_prompts, names)
    further = f"{field}.references"
    yield from further_reference_problems(further, panel.references, panel.characters)
    taken = len(panel.characters) + len(panel.references)
    yield from object_problems(f"{field}.objects", panel.objects, taken)
    yield from words_problems(f"{field}.prompt", panel.prompt, f"{field}.objects", panel.objects)
    yield from place_problems(field, index, storyboard)
    sampling = storyboard.effective_sampling(panel)
    for where, stage in stage_fields(f"{field}.sampling", sampling):
        if stage.prompt is not None:
            own = f"{where}.prompt"
            yield from _prompt_problems(own, stage.prompt, panel, storyboard, names)
            yield from words_problems(own, stage.prompt, f"{field}.objects", panel.objects)


def _prompt_problems(
    field: str, prompt: str, panel: "Panel", storyboard: "Storyboard", names: list[str]
) -> Iterator[str]:
    from lafi.board.storyboard import PLACEHOLDER, mentioned

    yield from _lora_problems(field, prompt)
    unknown = [name for name in mentioned(prompt) if name not in names]
    for name in unknown:
        yield problem(field, f"{{{name}}}", _one_of(name, names))
    rest = PLACEHOLDER.sub("", prompt)
    if "{" in rest or "}" in rest:
        yield problem(field, prompt, "braces around a character's name only")
    elif not unknown:
        text = panel.model_copy(update={"prompt": prompt}).prompt_text(storyboard)
        size = len(text.encode())
        if size > MAX_EXPANDED_PROMPT_BYTES:
            got = Verbatim(f"{size} bytes with its characters' descriptions")
            yield problem(field, got, f"at most {MAX_EXPANDED_PROMPT_BYTES} bytes")


def _lora_problems(field: str, text: str) -> Iterator[str]:
    """A line for each LoRA that a text asks for, as other programs read it there."""
    for found in _LORA.finditer(text):
        allowed = "no LoRA in a text: lafi export --variant NAME=FILE, then variant: NAME"
        yield problem(field, found[0], allowed)


def _one_of(name: str, names: list[str] | tuple[str, ...]) -> str:
    known = ", ".join(names) or "none, since there are no characters here"
    return f"{known}{closest(name, names)}"
