"""What no single field of a storyboard can know: names that must fit, and the model's sizes.

Each function returns one line per problem, an empty list when all is well.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lafi.board.error import Said, closest, problem
from lafi.board.limits import MAX_EXPANDED_PROMPT_BYTES

if TYPE_CHECKING:
    from lafi.board.storyboard import Injection, Panel, Sampling, Storyboard

SIGMAS_OF_SAMPLER = {
    "DDPM": ("default",),
    "DDIM": ("default",),
    "EulerAncestral": ("default",),
}
"""Samplers whose noise levels are fixed; the others take default, karras and beta."""


def storyboard_problems(storyboard: "Storyboard") -> list[str]:
    """Names, regions, braces, and settings that must fit each other."""
    return [*_all_problems(storyboard)]


def _all_problems(storyboard: "Storyboard") -> Iterator[str]:
    names = [character.name for character in storyboard.characters]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield problem(f"characters[{index}].name", name, "a name that no other character has")
    yield from _sampling_problems("sampling", storyboard.sampling)
    yield from _injection_problems("injection", storyboard.injection)
    for index, panel in enumerate(storyboard.panels):
        yield from _panel_problems(f"panels[{index}]", panel, storyboard, names)


def _panel_problems(
    field: str, panel: "Panel", storyboard: "Storyboard", names: list[str]
) -> Iterator[str]:
    yield from _prompt_problems(field, panel, storyboard, names)
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
        yield from _sampling_problems(f"{field}.sampling", panel.sampling)
    if panel.injection is not None:
        yield from _injection_problems(f"{field}.injection", panel.injection)


def _prompt_problems(
    field: str, panel: "Panel", storyboard: "Storyboard", names: list[str]
) -> Iterator[str]:
    from lafi.board.storyboard import PLACEHOLDER, mentioned

    unknown = [name for name in mentioned(panel.prompt) if name not in names]
    for name in unknown:
        yield problem(f"{field}.prompt", f"{{{name}}}", _one_of(name, names))
    rest = PLACEHOLDER.sub("", panel.prompt)
    if "{" in rest or "}" in rest:
        yield problem(f"{field}.prompt", panel.prompt, "braces around a character's name only")
    elif not unknown:
        size = len(panel.prompt_text(storyboard).encode())
        if size > MAX_EXPANDED_PROMPT_BYTES:
            got = Said(f"{size} bytes with its characters' descriptions")
            yield problem(f"{field}.prompt", got, f"at most {MAX_EXPANDED_PROMPT_BYTES} bytes")


def _one_of(name: str, names: list[str] | tuple[str, ...]) -> str:
    known = ", ".join(names) or "none, since there are no characters here"
    return f"{known}{closest(name, names)}"


def _sampling_problems(field: str, sampling: "Sampling") -> Iterator[str]:
    for stage in sampling.stages:
        allowed = SIGMAS_OF_SAMPLER.get(stage.sampler, (stage.sigmas,))
        if stage.sigmas not in allowed:
            yield problem(
                f"{field}.sigmas", stage.sigmas, f"{', '.join(allowed)} with {stage.sampler}"
            )
        for name in ("guidance", "reuse"):
            start, end = getattr(stage, f"{name}_start"), getattr(stage, f"{name}_end")
            if end < start:
                yield problem(f"{field}.{name}_end", end, f"{start:g} (its {name}_start) to 1")


def _injection_problems(field: str, injection: "Injection") -> Iterator[str]:
    if injection.end < injection.start:
        yield problem(f"{field}.end", injection.end, f"{injection.start:g} (its start) to 1")
