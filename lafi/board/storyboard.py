"""`Storyboard`: characters, panels, and how they are drawn. Checked where it is made.

Imports neither torch nor a server: clients use exactly these types. Every type is immutable and
every error is a `StoryboardError` with one line per problem.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, field_validator, model_validator

from lafi.board import image_file
from lafi.board.checked_model import CheckedModel
from lafi.board.checks import storyboard_problems
from lafi.board.error import StoryboardError, not_allowed
from lafi.board.file import Document, read_document, read_storyboard_file
from lafi.board.limits import (
    MAX_CHARACTERS,
    MAX_CHARACTERS_PER_PANEL,
    MAX_LAYER,
    MAX_PANELS,
    Allowed,
    Description,
    Fraction,
    Guidance,
    Name,
    OptionalText,
    PanelPrompt,
    Priority,
    Region,
    Retries,
    Score,
    Seed,
    Side,
    Steps,
    Strength,
    Title,
    VariantName,
)

Sampler = Literal["DDPM", "DDIM", "Euler", "EulerAncestral", "DPM++2M", "DPM++2MSDE"]
Sigmas = Literal["default", "karras", "beta"]
LayerPreset = Literal["none", "all", "decoder", "balanced", "texture"]
Branches = Literal["both", "conditional"]
Words = Literal["region", "everywhere"]

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class ReferenceImage(CheckedModel):
    """A PNG, JPEG or WebP file of 8 to 4096 pixels a side and at most 16 MiB; alpha = foreground.

    A still image, whole and decodable; the sides are read from its header before it is decoded.
    In JSON its bytes are base64.
    """

    data: bytes = Field(description="the bytes of a PNG, JPEG or WebP file", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _from_bytes(cls, given: Any) -> Any:
        return {"data": given} if isinstance(given, bytes) else given

    @field_validator("data", mode="before")
    @classmethod
    def _check(cls, given: Any) -> bytes:
        data = _from_base64(given) if isinstance(given, str) else given
        if not isinstance(data, bytes):
            raise not_allowed("the bytes of a PNG, JPEG or WebP file")
        try:
            image_file.check_reference(data)
        except image_file.ImageFileError as refused:
            raise not_allowed(refused.allowed, refused.got) from refused
        return data

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits, of the file's bytes."""
        return image_file.sha256_hex(self.data)

    def pixels(self) -> npt.NDArray[np.uint8]:
        """RGBA uint8 (H, W, 4), upright; alpha 255 where the file has none."""
        return image_file.rgba_pixels(self.data)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise not_allowed("an image file as base64") from error


class Character(CheckedModel):
    """Somebody whom panels name as `{name}`; without a reference a portrait is drawn first."""

    name: Name = Field(description="a lower-case name, such as mia")
    prompt: Description = Field(
        description="what the character looks like, 1 to 2048 bytes of text"
    )
    trigger: OptionalText = ""
    """Trigger words, put in front of the description."""
    reference: ReferenceImage | None = Field(
        default=None, description="a PNG, JPEG or WebP image of the character"
    )

    @property
    def caption(self) -> str:
        """Trigger words and description: what `{name}` stands for, and the portrait's prompt."""
        return f"{self.trigger} {self.prompt}".strip()


class SamplingStage(CheckedModel):
    """One pass of denoising."""

    steps: Steps = 30
    sampler: Annotated[Sampler, Allowed(", ".join(Sampler.__args__))] = "DDIM"
    sigmas: Annotated[Sigmas, Allowed(", ".join(Sigmas.__args__))] = "default"
    guidance: Guidance = 5.0
    """Scale of classifier-free guidance; 1 is none."""
    guidance_start: Fraction = 0.0
    guidance_end: Fraction = 1.0
    """Step i of N is guided if start <= i / N < end; the others cost half (arXiv:2404.07724)."""
    reuse_threshold: Fraction = 0.0
    """Steps are taken without the model while its prediction is foretold to change by less in all
    since the last computed one, as a share of itself (EasyCache, arXiv:2507.02860); 0 is off."""
    reuse_start: Fraction = 0.15
    reuse_end: Fraction = 0.95
    """Step i of N may be reused if start <= i / N < end; never the first or the last, and none
    where guidance or injection switches."""


class Sampling(CheckedModel):
    """Stages of denoising, one for now; `{steps: 20}` is short for `{stages: [{steps: 20}]}`."""

    stages: tuple[SamplingStage, ...] = Field(
        default=(SamplingStage(),),
        min_length=1,
        max_length=1,
        description="a list of one stage, a mapping with steps, sampler, sigmas, guidance ...",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_stage(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given and "stages" not in given:
            return {"stages": [given]}
        return given


class Injection(CheckedModel):
    """How panels read references: in which layers and steps, how strongly, in which rows.

    The defaults are what `make evaluate` chose on the bundled model.
    """

    layers: Annotated[
        LayerPreset | Annotated[int, Field(strict=True, ge=0, le=MAX_LAYER)],
        Allowed(f"{', '.join(LayerPreset.__args__)}, or a layer index"),
    ] = "decoder"
    """Where injection starts, in forward order of the self-attention layers."""
    start: Fraction = 0.0
    end: Fraction = 0.8
    """Step i of N injects if start <= i / N < end."""
    strength: Strength = 1.0
    """Added to the logits of a reference's tokens."""
    branches: Annotated[Branches, Allowed("both, conditional")] = "both"
    """Which rows of guidance read the reference."""
    reference_noise: Annotated[Literal["panel"] | Fraction, Allowed("panel, or 0 to 1")] = 0.1
    """The panel's own timestep, or a fixed one as a fraction of the training timesteps."""
    words: Annotated[Words, Allowed("region, everywhere")] = "region"
    """Where the words that a `{name}` stands for act: in the character's region, if it has one."""

    @classmethod
    def as_published(cls, **changes: Any) -> "Injection":
        """The method as published: no bias, the reference at the panel's own timestep."""
        return cls(**{"strength": 0.0, "reference_noise": "panel"} | changes)


class Panel(CheckedModel):
    """One picture. Fields of `sampling` and `injection` that are left out are the storyboard's."""

    prompt: PanelPrompt = Field(
        description="what is to be seen, 1 to 2048 bytes of text; {mia} stands for a character"
    )
    characters: tuple[Name, ...] = Field(
        default_factory=lambda fields: mentioned(fields.get("prompt", "")),
        max_length=MAX_CHARACTERS_PER_PANEL,
        description=f"a list of at most {MAX_CHARACTERS_PER_PANEL} names of characters",
    )
    """Whose references it reads. Default: those its prompt names. Empty: nobody's."""
    negative_prompt: OptionalText = ""
    """In addition to the storyboard's."""
    seed: Seed = Field(default=0, description="default: the panel's index in its storyboard")
    sampling: Sampling | None = Field(
        default=None, description="a mapping with steps, sampler, sigmas, guidance"
    )
    injection: Injection | None = None
    regions: dict[Name, Region] = Field(
        default={}, description="a mapping from a character's name to [x0, y0, x1, y1]"
    )
    """Where a character stands, as fractions of width and height from the upper left corner.

    Its reference is read there only, and its words act there only (`injection.words`).
    """
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
        return PLACEHOLDER.sub(lambda match: captions[match[1]], self.prompt)

    def negative_text(self, storyboard: "Storyboard") -> str:
        """The storyboard's negative prompt and this panel's, with a comma between them."""
        return ", ".join(filter(None, (storyboard.negative_prompt, self.negative_prompt)))


def mentioned(prompt: str) -> tuple[str, ...]:
    """The names in braces, each once, in the order of the prompt."""
    return tuple(dict.fromkeys(PLACEHOLDER.findall(prompt)))


_Settings = TypeVar("_Settings", Sampling, SamplingStage, Injection)


def _filled(settings: _Settings, base: _Settings) -> _Settings:
    """`settings`, with what was not set in it taken from `base`."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return base.model_copy(update=given)


class Retry(NamedTuple):
    """A panel whose lowest score is less than `below` is drawn again, at most `most` times."""

    below: float
    most: int


class Storyboard(CheckedModel):
    """Panels that share characters, width x height pixels each."""

    title: Title = ""
    variant: VariantName = ""
    """Which variant of the model draws it; none: the model itself."""
    width: Side = 64
    height: Side = 64
    negative_prompt: OptionalText = ""
    sampling: Sampling = Field(
        default=Sampling(), description="a mapping with steps, sampler, sigmas, guidance"
    )
    injection: Injection = Injection()
    priority: Priority = 0
    """On a busy server a higher one gets every free place first; it changes no pixel."""
    retry_below: Score | None = None
    """Draw a panel again, with another seed, whose lowest score is less than this; the best stays.

    A score is the cosine of a panel to the picture of a character in it, as the recogniser sees
    them. None: draw each panel once.
    """
    retries: Retries = 2
    """How often at most."""
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
        """Fill in what panels leave to the storyboard, so that each panel stands for itself."""
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

    def effective_sampling(self, panel: Panel) -> Sampling:
        """The panel's own sampling, or the storyboard's."""
        return panel.sampling or self.sampling

    def effective_injection(self, panel: Panel) -> Injection:
        """The panel's own injection, or the storyboard's."""
        return panel.injection or self.injection

    def effective_retry(self, panel: Panel) -> Retry | None:
        """When the panel is drawn again, as it says itself or the storyboard; None is never."""
        below = self.retry_below if panel.retry_below is None else panel.retry_below
        most = self.retries if panel.retries is None else panel.retries
        return Retry(below, most) if below is not None and most else None

    def portrait_panel(self, name: str) -> Panel:
        """The panel that draws the portrait of a character without a reference.

        The caption alone, no injection, the storyboard's sampling, a seed made from the caption.
        """
        caption = self.character(name).caption
        seed = int(image_file.sha256_hex(caption.encode())[:15], 16)
        plain = self.injection.model_copy(update={"layers": "none"})
        return Panel.model_construct(
            prompt=caption, characters=(), seed=seed, sampling=self.sampling, injection=plain
        )


def _completed(panel: Panel, index: int, fields: Mapping[str, Any]) -> Panel:
    update: dict[str, Any] = {}
    if "seed" not in panel.model_fields_set:
        update["seed"] = index
    if panel.injection is not None and "injection" in fields:
        update["injection"] = _filled(panel.injection, fields["injection"])
    if panel.sampling is not None and "sampling" in fields:
        stages = zip(panel.sampling.stages, fields["sampling"].stages, strict=False)
        update["sampling"] = Sampling(stages=tuple(_filled(own, base) for own, base in stages))
    return panel.model_copy(update=update)


def parse_storyboard(text: str, folder: Path | None = None) -> Storyboard:
    """A storyboard from YAML or JSON text; `reference: x.png` is read from `folder`.

    Raises `StoryboardError`.
    """
    return _from_document(read_document(text, folder))


def load_storyboard(path: Path | str) -> Storyboard:
    """A storyboard from a YAML or JSON file; references are relative to it.

    Raises `StoryboardError`, also where a file cannot be read.
    """
    return _from_document(read_storyboard_file(Path(path)))


def _from_document(document: Document) -> Storyboard:
    problems = list(document.problems)
    try:
        storyboard = Storyboard.model_validate(document.data)
    except StoryboardError as error:
        problems.extend(error.problems)
    if problems:
        raise StoryboardError(problems)
    return storyboard
