"""`Storyboard`: characters, panels and settings. Checked on creation.

Imports neither torch nor a server: clients use exactly these types. All types are immutable, and
every error is a `StoryboardError` with one line per problem.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator, model_validator

from lafi.board import image_file
from lafi.board.checked_model import CheckedModel
from lafi.board.checks import storyboard_problems
from lafi.board.condition import MAX_CONDITIONS, Condition
from lafi.board.control import MAX_CONTROLS, Control
from lafi.board.error import StoryboardError
from lafi.board.file import Document, read_document, read_storyboard_file
from lafi.board.further_reference import MAX_FURTHER_REFERENCES, FurtherReference
from lafi.board.image_file import ALLOWED
from lafi.board.injection import Injection
from lafi.board.limits import (
    MAX_CHARACTERS,
    MAX_CHARACTERS_PER_PANEL,
    MAX_PANELS,
    NAME_ALLOWED,
    ClipSkip,
    DeadlineSeconds,
    Description,
    Name,
    OptionalText,
    PanelPrompt,
    Priority,
    ProgressSeconds,
    Region,
    Retries,
    Score,
    Seed,
    Side,
    Title,
    UpscaleFactor,
    VariantName,
    folded,
)
from lafi.board.picture_prompt import MAX_PICTURE_PROMPTS, PicturePrompt
from lafi.board.placed_object import MAX_OBJECTS, PlacedObject
from lafi.board.reference_image import ReferenceImage
from lafi.board.stage_latents import StageLatents
from lafi.board.stages import Sampling, SamplingStage, filled

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Character(CheckedModel):
    """A character that prompts name as `{name}`; without a reference, a portrait is drawn first."""

    name: Name = Field(description=NAME_ALLOWED)
    kind: Literal["figure", "place", "prop"] = "figure"
    """A person or an animal; a place, read where nobody's region is; a thing, read with figures.

    Where each of them is read: `lafi.drawing.reading_regions`. Figures alone have scores.
    """
    prompt: Description = Field(
        description="what the character looks like, 1 to 8192 bytes of text"
    )
    trigger: OptionalText = ""
    """Trigger words, put in front of the description."""
    reference: ReferenceImage | None = Field(
        default=None, description=f"{ALLOWED} of the character"
    )

    @property
    def caption(self) -> str:
        """Trigger words and description: replaces `{name}`, and is the portrait's prompt."""
        return f"{self.trigger} {self.prompt}".strip()


class Panel(CheckedModel):
    """One picture. Unset fields of `sampling` and `injection` are the storyboard's."""

    prompt: PanelPrompt = Field(
        description="what is to be seen, 1 to 8192 bytes of text; {mia} stands for a character"
    )
    characters: tuple[Name, ...] = Field(
        default_factory=lambda fields: mentioned(fields.get("prompt", "")),
        max_length=MAX_CHARACTERS_PER_PANEL,
        description=f"a list of at most {MAX_CHARACTERS_PER_PANEL} names of characters",
    )
    """Characters whose references it reads. Default: those in its prompt. Empty: none."""
    negative_prompt: OptionalText = ""
    """Added to the storyboard's negative prompt."""
    seed: Seed = Field(default=0, description="default: the panel's index in its storyboard")
    width: Side | None = None
    height: Side | None = None
    """Pixels, before `upscale`; default: the storyboard's."""
    upscale: UpscaleFactor | None = None
    """Default: the storyboard's."""
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=MAX_CONDITIONS,
        description=f"a list of at most {MAX_CONDITIONS} mappings with kind, start, end, settings",
    )
    """What conditioners of installed packages add in every stage."""
    control: tuple[Control, ...] = Field(
        default=(),
        max_length=MAX_CONTROLS,
        description=f"a list of at most {MAX_CONTROLS} mappings with kind, and image or pose",
    )
    """Pictures and poses that steer it in every stage; what several add is summed."""
    picture_prompts: tuple[PicturePrompt, ...] = Field(
        default=(),
        max_length=MAX_PICTURE_PROMPTS,
        description=f"a list of at most {MAX_PICTURE_PROMPTS} mappings with image or character",
    )
    """Pictures that act beside its words in every stage; what several add is summed."""
    references: tuple[FurtherReference, ...] = Field(
        default=(),
        max_length=MAX_FURTHER_REFERENCES,
        description=f"a list of at most {MAX_FURTHER_REFERENCES} mappings with character and image",
    )
    """Further pictures of its characters, read beside the reference of each."""
    resume: StageLatents | None = Field(
        default=None, description="a mapping with stage and data, from an earlier drawing"
    )
    """Where an earlier drawing of this panel is gone on with; it changes no pixel."""
    sampling: Sampling | None = Field(
        default=None, description="a mapping with steps, sampler, sigmas, guidance"
    )
    injection: Injection | None = None
    regions: dict[Name, Region] = Field(
        default={}, description="a mapping from a character's name to [x0, y0, x1, y1]"
    )
    """Where each character is, as fractions of width and height from the upper left corner.

    Its reference is read only there, and its words act only there (`injection.words`).
    """
    objects: tuple[PlacedObject, ...] = Field(
        default=(),
        max_length=MAX_OBJECTS,
        description=f"a list of at most {MAX_OBJECTS} mappings with words and box",
    )
    """Words of its prompt that act in one part of it only, in every stage."""
    retry_below: Score | None = None
    """Default: the storyboard's."""
    retries: Retries | None = None
    """Default: the storyboard's."""

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {
            key: value
            for key, value in given.items()
            if value is not None or key not in ("characters", "seed", "regions")
        }

    def prompt_text(self, storyboard: "Storyboard") -> str:
        """The prompt with every `{name}` replaced by that character's caption."""
        captions = {character.name: character.caption for character in storyboard.characters}
        return PLACEHOLDER.sub(lambda match: captions[folded(match[1])], self.prompt)

    def stage_text(self, storyboard: "Storyboard", stage: SamplingStage) -> str:
        """The prompt of one stage (its own or the panel's) with every `{name}` replaced."""
        if stage.prompt is None:
            return self.prompt_text(storyboard)
        return self.model_copy(update={"prompt": stage.prompt}).prompt_text(storyboard)

    def negative_text(self, storyboard: "Storyboard") -> str:
        """The negative prompts of the storyboard and of this panel, joined by a comma."""
        return ", ".join(filter(None, (storyboard.negative_prompt, self.negative_prompt)))


def mentioned(prompt: str) -> tuple[str, ...]:
    """The names in braces as they are known, each once, in the order of the prompt."""
    return tuple(dict.fromkeys(map(folded, PLACEHOLDER.findall(prompt))))


class Retry(NamedTuple):
    """A panel is drawn again, at most `most` times, if its lowest score is less than `below`."""

    below: float
    most: int


class Storyboard(CheckedModel):
    """Panels that share characters, width x height pixels each."""

    title: Title = ""
    variant: VariantName = ""
    """The variant of the model that draws it; none: the model itself."""
    width: Side = 64
    height: Side = 64
    """Size of a panel after its last stage and before `upscale`, in pixels.

    Where it is not set, the model's own side counts, if that is known.
    """
    upscale: UpscaleFactor = 1
    """How many times as wide and as high a super-resolution network makes the finished panel."""
    trigger: OptionalText = ""
    """Text in front of every prompt of panels, stages and portraits, with a comma."""
    negative_prompt: OptionalText = ""
    prompt_weights: bool = Field(default=True, strict=True)
    """Whether `(a red coat:1.3)`, `(so)` and `[less]` in texts weight words; else they are letters.

    On, as people who bring prompts expect; the answer names each text in which it has an effect.
    """
    clip_skip: ClipSkip = 0
    """How many of the text encoder's last layers have no part in prompts' embeddings.

    Counted as diffusers' `clip_skip`, one less than AUTOMATIC1111's "Clip skip". As in diffusers'
    pipelines, negative prompts skip none.
    """
    sampling: Sampling = Field(
        default=Sampling(), description="a mapping with steps, sampler, sigmas, guidance"
    )
    injection: Injection = Injection()
    stage_previews: bool = Field(default=False, strict=True)
    """Send a small picture at the end of each stage but the last."""
    keep_stages: bool = Field(default=False, strict=True)
    """Send the latents after each stage but the last, for `resume` in a later storyboard."""
    priority: Priority = 0
    """On a busy server a higher one gets free places first; it changes no pixel."""
    deadline_seconds: DeadlineSeconds | None = None
    """How soon it must be done; refused at once if that cannot be. It changes no pixel."""
    progress_seconds: ProgressSeconds = 0.0
    """Least time between two `progress` events of a panel; 0: one for every step.

    Each event is work for the server and its client: on a small model 7% of all.
    It changes no pixel.
    """
    detach: bool = Field(default=False, strict=True)
    """Draw it even if the client leaves; it may come back with the id. It changes no pixel."""
    retry_below: Score | None = None
    """A panel with a lowest score below this is drawn again with other seeds; the best one counts.

    A score is the recogniser's cosine between a panel and the picture of a character in it.
    None: draw each panel once.
    """
    retries: Retries = 2
    """The most retries of a panel."""
    characters: tuple[Character, ...] = Field(
        default=(),
        max_length=MAX_CHARACTERS,
        description=f"a list of at most {MAX_CHARACTERS} characters",
    )
    panels: tuple[Panel, ...] = Field(
        min_length=1, max_length=MAX_PANELS, description=f"a list of 1 to {MAX_PANELS} panels"
    )

    @field_validator("panels", mode="after")
    @classmethod
    def _complete(cls, panels: tuple[Panel, ...], fields: ValidationInfo) -> tuple[Panel, ...]:
        """Copy the storyboard's values into panels, so that each panel is complete by itself."""
        return tuple(_completed(panel, index, fields.data) for index, panel in enumerate(panels))

    @model_validator(mode="after")
    def _check(self) -> "Storyboard":
        if problems := storyboard_problems(self):
            raise StoryboardError(problems)
        return self

    def character(self, name: str) -> Character:
        """The character of that name; KeyError if there is none."""
        for character in self.characters:
            if character.name == name:
                return character
        raise KeyError(name)

    def figures(self, panel: Panel) -> tuple[str, ...]:
        """The panel's characters that are neither places nor things."""
        return self.of_kind(panel, "figure")

    def of_kind(self, panel: Panel, kind: str) -> tuple[str, ...]:
        """The panel's characters of this kind, in the panel's order."""
        return tuple(name for name in panel.characters if self.character(name).kind == kind)

    def sources(self, panel: Panel) -> tuple[int, ...]:
        """Earlier panels that stages of this one begin with, as those were drawn."""
        found = (stage.source for stage in self.effective_sampling(panel).stages)
        return tuple(each.panel for each in found if each and each.panel is not None)

    def effective_sampling(self, panel: Panel) -> Sampling:
        """The panel's own sampling, or the storyboard's."""
        return panel.sampling or self.sampling

    def effective_injection(self, panel: Panel, stage: SamplingStage | None = None) -> Injection:
        """The panel's own injection, or the storyboard's, with the changes of a stage."""
        whole = panel.injection or self.injection
        own = stage.injection if stage is not None else None
        return whole if own is None else filled(own, whole)

    def effective_size(self, panel: Panel) -> tuple[int, int]:
        """Width and height of the panel after its last stage, in pixels."""
        width = self.width if panel.width is None else panel.width
        return width, self.height if panel.height is None else panel.height

    def effective_upscale(self, panel: Panel) -> int:
        """The panel's own factor, or the storyboard's; 1: its pixels stay as they are drawn."""
        return self.upscale if panel.upscale is None else panel.upscale

    def effective_retry(self, panel: Panel) -> Retry | None:
        """When to draw the panel again: its own setting, or the storyboard's; None: never."""
        below = self.retry_below if panel.retry_below is None else panel.retry_below
        most = self.retries if panel.retries is None else panel.retries
        return Retry(below, most) if below is not None and most else None

    def portrait_panel(self, name: str) -> Panel:
        """The panel that draws the portrait of a character without a reference.

        The prompt is the caption, the seed is derived from it, and there is no injection. The
        stages are the storyboard's, starting from noise and without pictures.
        """
        caption = self.character(name).caption
        seed = int(image_file.sha256_hex(caption.encode())[:15], 16)
        plain = self.injection.model_copy(update={"layers": "none"})
        return Panel.model_construct(
            prompt=caption,
            characters=(),
            seed=seed,
            sampling=_of_a_portrait(self.sampling),
            injection=plain,
            upscale=1,
        )


def _completed(panel: Panel, index: int, fields: Mapping[str, Any]) -> Panel:
    update: dict[str, Any] = {}
    if "seed" not in panel.model_fields_set:
        update["seed"] = index
    if panel.injection is not None and "injection" in fields:
        update["injection"] = filled(panel.injection, fields["injection"])
    if panel.sampling is not None and "sampling" in fields:
        update["sampling"] = panel.sampling.completed_by(fields["sampling"])
    return panel.model_copy(update=update)


def _of_a_portrait(sampling: Sampling) -> Sampling:
    """The stages without pictures and injection: `from` and `mask` belong to panels."""
    if all(stage == _plain(stage, first=False) for stage in sampling.stages):
        return sampling
    stages = (_plain(stage, first=place == 0) for place, stage in enumerate(sampling.stages))
    return Sampling(stages=tuple(stages))


def _plain(stage: SamplingStage, *, first: bool) -> SamplingStage:
    update: dict[str, Any] = {"source": None, "mask": None, "prompt": None, "injection": None}
    return stage.model_copy(update=update | ({"denoise": 1.0} if first else {}))


def parse_storyboard(text: str, folder: Path | None = None) -> Storyboard:
    """A storyboard from YAML or JSON text; `reference: x.png` is read from `folder`.

    Raises `StoryboardError`.
    """
    return from_document(read_document(text, folder))


def load_storyboard(path: Path | str) -> Storyboard:
    """A storyboard from a YAML or JSON file; references are relative to it.

    Raises `StoryboardError`, also if a file cannot be read.
    """
    return from_document(read_storyboard_file(Path(path)))


def from_document(document: Document) -> Storyboard:
    """The storyboard of a file's data. Raises `StoryboardError`, with the file's problems first."""
    problems = list(document.problems)
    try:
        storyboard = Storyboard.model_validate(document.data)
    except StoryboardError as error:
        problems.extend(error.problems)
    if problems:
        raise StoryboardError(problems)
    return storyboard
