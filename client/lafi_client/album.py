"""A drawn storyboard with all that the contact sheet and the report show of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from lafi.board.control import Control
from lafi.board.further_reference import FurtherReference
from lafi.board.injection import Injection
from lafi.board.picture_prompt import PicturePrompt
from lafi.board.pose import skeleton_picture
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import PLACEHOLDER, Storyboard


@dataclass(frozen=True, slots=True)
class CastMember:
    """A character. `picture` is an image file; `drawn` is true for a portrait by the server."""

    name: str
    description: str
    picture: bytes | None
    drawn: bool


@dataclass(frozen=True, slots=True)
class ControlPicture:
    """What steers a panel: an image file, or a pose's picture as PNG, and words about it.

    picture: None for a character whose portrait is drawn.
    """

    caption: str
    picture: bytes | None


@dataclass(frozen=True, slots=True)
class PanelEntry:
    """A panel. `picture` is a PNG, or None with the reason in `error`.

    `caption` is the prompt with the characters' names, `prompt` the model's full prompt.
    `seed` is the seed of the drawing, `attempts` the number of drawings, `upscale` how many times
    as large it is as it was drawn. `scores` say how much
    each character looks like its picture, -1 to 1. `controls` are
    pictures that steer it or that it reads. `seconds` is the time on the server. `note`
    says where an older picture comes from.
    """

    number: int
    caption: str
    prompt: str
    negative_prompt: str
    characters: tuple[str, ...]
    seed: int
    sampling: str
    injection: str
    picture: bytes | None = None
    error: str = ""
    seconds: float | None = None
    address: str = ""
    note: str = ""
    scores: tuple[tuple[str, float], ...] = ()
    attempts: int = 1
    upscale: int = 1
    controls: tuple[ControlPicture, ...] = ()


@dataclass(frozen=True, slots=True)
class Album:
    """A storyboard with its pictures; width and height in pixels, seconds for the whole run."""

    title: str
    width: int
    height: int
    cast: tuple[CastMember, ...]
    panels: tuple[PanelEntry, ...]
    seconds: float | None = None


def panel_entry(storyboard: Storyboard, number: int) -> PanelEntry:
    """The panel as described in the storyboard, without a picture yet."""
    panel = storyboard.panels[number]
    return PanelEntry(
        number=number,
        caption=PLACEHOLDER.sub(r"\1", panel.prompt),
        prompt=panel.prompt_text(storyboard),
        negative_prompt=panel.negative_text(storyboard),
        characters=panel.characters,
        seed=panel.seed,
        sampling=_sampling(storyboard.effective_sampling(panel)),
        injection=_injection(storyboard.effective_injection(panel)),
        upscale=storyboard.effective_upscale(panel),
        controls=(
            *(_control(each, storyboard.effective_size(panel)) for each in panel.control),
            *(_prompted(each, storyboard) for each in panel.picture_prompts),
            *map(_further, panel.references),
        ),
    )


def _further(reference: FurtherReference) -> ControlPicture:
    """What the panel reads of it: without what lies outside of its part."""
    caption = f"further reference of {reference.character}"
    if reference.part is None:
        return ControlPicture(caption, bytes(reference.image.data))
    stream = io.BytesIO()
    reference.shown().save(stream, "PNG")
    return ControlPicture(caption, stream.getvalue())


def _prompted(prompt: PicturePrompt, storyboard: Storyboard) -> ControlPicture:
    """The picture of a picture prompt."""
    name = prompt.character
    image = prompt.image if name is None else storyboard.character(name).reference
    parts = ["picture prompt" if name is None else f"picture prompt of {name}", *_settings(prompt)]
    return ControlPicture(", ".join(parts), None if image is None else bytes(image.data))


def _settings(given: Control | PicturePrompt) -> Iterator[str]:
    if given.strength != 1:
        yield f"strength {given.strength:g}"
    if (given.start, given.end) != (0, 1):
        yield f"{given.start:g} to {given.end:g}"


def _control(control: Control, size: tuple[int, int]) -> ControlPicture:
    """The picture as it was given; edges are drawn by the server. size: of the panel."""
    parts = [control.kind]
    if control.prepare != "none":
        parts.append(f"by {control.prepare}")
    parts += _settings(control)
    if control.image is not None:
        return ControlPicture(", ".join(parts), bytes(control.image.data))
    stream = io.BytesIO()
    skeleton_picture(control.pose or (), *size).save(stream, "PNG")
    return ControlPicture(", ".join(parts), stream.getvalue())


def _sampling(sampling: Sampling) -> str:
    return "; then ".join(map(_stage, sampling.stages))


def _stage(stage: SamplingStage) -> str:
    sampler = stage.sampler or "the model's sampler"
    parts = [sampler, f"{stage.steps} steps", f"guidance {stage.guidance:g}"]
    if stage.sigmas != "default":
        parts.append(f"{stage.sigmas} sigmas")
    if isinstance(stage.size, tuple):
        parts.append("{} x {} px".format(*stage.size))
    elif stage.size is not None:
        parts.append(f"size times {stage.size:g}")
    if stage.denoise != 1:
        parts.append(f"denoise {stage.denoise:g}")
    if stage.source is not None:
        panel = stage.source.panel
        parts.append("from a picture" if panel is None else f"from panel {panel}")
    return ", ".join(parts)


def _injection(injection: Injection) -> str:
    if injection.layers == "none":
        return "none"
    parts = [f"{injection.layers}, {injection.start:g} to {injection.end:g}"]
    if injection.strength:
        parts.append(f"strength {injection.strength:g}")
    if injection.branches != "both":
        parts.append(f"{injection.branches} branch only")
    if injection.reference_noise != "panel":
        parts.append(f"reference noise {injection.reference_noise:g}")
    return ", ".join(parts)
