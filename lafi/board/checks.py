"""Checks that need several fields of a storyboard, such as names that must match.

Each function returns one line per problem, an empty list when all is well.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lafi.board.error import Verbatim, closest, problem
from lafi.board.limits import MAX_EXPANDED_PROMPT_BYTES, MAX_PICTURES
from lafi.board.stage_checks import (
    injection_problems,
    place_problems,
    sampling_problems,
    stage_fields,
)

if TYPE_CHECKING:
    from lafi.board.storyboard import Panel, Storyboard


def storyboard_problems(storyboard: "Storyboard") -> list[str]:
    """Checks names, regions, braces, and settings that must fit each other."""
    return [*_all_problems(storyboard)]


def _all_problems(storyboard: "Storyboard") -> Iterator[str]:
    names = [character.name for character in storyboard.characters]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield problem(f"characters[{index}].name", name, "a name that no other character has")
    yield from sampling_problems("sampling", storyboard.sampling)
    yield from injection_problems("injection", storyboard.injection)
    for index, panel in enumerate(storyboard.panels):
        yield from _panel_problems(index, panel, storyboard, names)
    if (count := len(_pictures(storyboard))) > MAX_PICTURES:
        got = Verbatim(f"{count} different pictures")
        yield problem("", got, f"at most {MAX_PICTURES} in references, from and mask")


def _pictures(storyboard: "Storyboard") -> set[bytes]:
    """The distinct pictures, as the bytes of their files."""
    found = [character.reference for character in storyboard.characters]
    for sampling in (storyboard.sampling, *(panel.sampling for panel in storyboard.panels)):
        for stage in sampling.stages if sampling else ():
            found += [slot.image for slot in (stage.source, stage.mask) if slot is not None]
    return {picture.data for picture in found if picture is not None}


def _panel_problems(
    index: int, panel: "Panel", storyboard: "Storyboard", names: list[str]
) -> Iterator[str]:
    field = f"panels[{index}]"
    yield from _prompt_problems(f"{field}.prompt", panel.prompt, panel, storyboard, names)
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
    yield from place_problems(field, index, storyboard)
    sampling = storyboard.effective_sampling(panel)
    for where, stage in stage_fields(f"{field}.sampling", sampling):
        if stage.prompt is not None:
            yield from _prompt_problems(f"{where}.prompt", stage.prompt, panel, storyboard, names)


def _prompt_problems(
    field: str, prompt: str, panel: "Panel", storyboard: "Storyboard", names: list[str]
) -> Iterator[str]:
    from lafi.board.storyboard import PLACEHOLDER, mentioned

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


def _one_of(name: str, names: list[str] | tuple[str, ...]) -> str:
    known = ", ".join(names) or "none, since there are no characters here"
    return f"{known}{closest(name, names)}"
