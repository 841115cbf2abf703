"""A drawn storyboard as people look at it: what the contact sheet and the report both show."""

from __future__ import annotations

from dataclasses import dataclass

from lafi.board.injection import Injection
from lafi.board.stages import Sampling
from lafi.board.storyboard import PLACEHOLDER, Storyboard


@dataclass(frozen=True, slots=True)
class CastMember:
    """A character. `picture` is an image file; `drawn` tells a portrait from a given one."""

    name: str
    description: str
    picture: bytes | None
    drawn: bool


@dataclass(frozen=True, slots=True)
class PanelEntry:
    """A panel. `picture` is a PNG, or None with `error` saying why there is none.

    `caption` is the prompt with names for characters, `prompt` what the model was told.
    `seed` is that of the drawing, `attempts` how many there were; `scores` tell how much each
    character looks like its picture, -1 to 1. `seconds` is the time on the server; `note`
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


@dataclass(frozen=True, slots=True)
class Album:
    """A storyboard with its pictures; width and height in pixels, seconds of the whole run."""

    title: str
    width: int
    height: int
    cast: tuple[CastMember, ...]
    panels: tuple[PanelEntry, ...]
    seconds: float | None = None


def panel_entry(storyboard: Storyboard, number: int) -> PanelEntry:
    """The panel as the storyboard describes it, still without a picture."""
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
    )


def _sampling(sampling: Sampling) -> str:
    stage = sampling.stages[0]
    sigmas = "" if stage.sigmas == "default" else f", {stage.sigmas} sigmas"
    return f"{stage.sampler}, {stage.steps} steps, guidance {stage.guidance:g}{sigmas}"


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
