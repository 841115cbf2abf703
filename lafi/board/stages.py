"""`Sampling`: the stages in which a panel is drawn, and what each of them may set.

A stage takes latents on: from noise, from the stage before it, or from a picture. Its size, its
noise and its settings are its own. Knows no model: whether one can draw a stage is checked in
`lafi.model`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, field_serializer, model_validator
from pydantic.json_schema import SkipJsonSchema

from lafi.board.checked_model import CheckedModel
from lafi.board.condition import OutsideName
from lafi.board.injection import Injection
from lafi.board.limits import (
    MAX_PANELS,
    MAX_STAGES,
    Allowed,
    Denoise,
    Fraction,
    Guidance,
    NoiseScale,
    PanelPrompt,
    Region,
    Seed,
    Shift,
    StageSize,
    Steps,
    VariantName,
)
from lafi.board.reference_image import ReferenceImage

Sampler = Literal[
    "DDPM",
    "DDIM",
    "Euler",
    "EulerAncestral",
    "Heun",
    "LCM",
    "UniPC",
    "DPM++2M",
    "DPM++2MSDE",
    "DPM++SDE",
]
Sigmas = Literal["default", "karras", "exponential", "beta"]
TimeShift = Literal["exponential", "linear"]
Upscale = Literal["nearest-exact", "bilinear", "bicubic", "lanczos", "pixels"]
ReuseWindow = Literal["steps", "noise"]


def _choice(values: Any) -> Allowed:
    return Allowed(", ".join(values.__args__))


class StageSource(CheckedModel):
    """What a stage begins with in place of the stage before it: a picture, or an earlier panel.

    In YAML a file's name, or a panel's number.
    """

    image: ReferenceImage | None = Field(default=None, description="a PNG, JPEG or WebP image")
    panel: (
        Annotated[
            int,
            Field(strict=True, ge=0, lt=MAX_PANELS),
            Allowed("the number of an earlier panel, counted from 0"),
        ]
        | None
    ) = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        if isinstance(given, bool):
            return given
        if isinstance(given, int):
            return {"panel": given}
        return {"image": given} if isinstance(given, bytes | str | ReferenceImage) else given


class StageMask(CheckedModel):
    """What a stage draws anew, the rest stays as its source is: a picture or a region.

    A picture is read as grey, its transparent parts as black: white is drawn anew, black stays.
    In YAML a file's name, or [x0, y0, x1, y1].
    """

    image: ReferenceImage | None = Field(default=None, description="a PNG, JPEG or WebP image")
    region: Region | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        if isinstance(given, list | tuple):
            return {"region": given}
        return {"image": given} if isinstance(given, bytes | str | ReferenceImage) else given


class SamplingStage(CheckedModel):
    """One pass of denoising."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    size: StageSize | None = None
    """[width, height] in pixels, or a scale of the panel's; the last stage has the panel's."""
    steps: Steps = 30
    """Computed steps: with `denoise` the last ones of a schedule of round(steps / denoise)."""
    sampler: Annotated[
        Sampler | OutsideName,
        Allowed(f"{', '.join(Sampler.__args__)}, or package:Name of an installed package"),
    ] = "DDIM"
    sigmas: Annotated[Sigmas, _choice(Sigmas)] = "default"
    """How noise levels are spaced; `default` is the model's and the sampler's own way."""
    shift: Shift | None = None
    """Of a flow model's noise levels, a fixed one (arXiv:2403.03206); default: the model's."""
    base_shift: Shift | None = None
    max_shift: Shift | None = None
    """Of a flow model whose shift follows the picture's size."""
    time_shift_type: Annotated[TimeShift, _choice(TimeShift)] | None = None
    eta: Fraction | None = None
    """Share of fresh noise of samplers that have it; default: the sampler's own."""
    s_noise: NoiseScale = 1.0
    """Scale of that noise."""
    guidance: Guidance = 5.0
    """Scale of classifier-free guidance; 1 is none."""
    guidance_start: Fraction = 0.0
    guidance_end: Fraction = 1.0
    """Step i of N is guided if start <= i / N < end; the others cost half (arXiv:2404.07724)."""
    guidance_rescale: Fraction = 0.0
    """How far the guided prediction gets the spread of the one with prompt (arXiv:2305.08891)."""
    denoise: Denoise = 1.0
    """How much of the noise schedule is drawn anew; less than 1 keeps the rest of the source."""
    upscale: Annotated[Upscale, _choice(Upscale)] = "bilinear"
    """How latents of the stage before get this stage's size; `pixels` decodes and encodes."""
    reuse_threshold: Fraction = 0.0
    """Steps are taken without the model while its prediction is foretold to change by less in all
    since the last computed one, as a share of itself (EasyCache, arXiv:2507.02860); 0 is off."""
    reuse_start: Fraction = 0.15
    reuse_end: Fraction = 0.95
    """Step i of N may be reused if start <= i / N < end; never the first or the last, and none
    where guidance or injection switches."""
    reuse_window: Annotated[ReuseWindow, _choice(ReuseWindow)] = "steps"
    """What start and end are shares of: the stage's steps, or the model's noise schedule."""
    seed: Seed | None = None
    """Default: the panel's."""
    prompt: PanelPrompt | None = None
    """Default: the panel's; {mia} stands for a character."""
    variant: VariantName | None = None
    """Default: the storyboard's."""
    injection: Injection | None = None
    """What is left out is the panel's."""
    source: StageSource | None = Field(
        default=None,
        alias="from",
        description="a picture, or the number of an earlier panel",
    )
    mask: StageMask | None = Field(
        default=None, description="a picture, or a region [x0, y0, x1, y1]"
    )

    @field_serializer("injection")
    def _only_what_is_set(self, injection: Injection | None) -> dict[str, Any] | None:
        """What is left out stays so on the wire, since it is the panel's."""
        return None if injection is None else injection.model_dump(exclude_unset=True)


class Sampling(CheckedModel):
    """Stages of denoising; `{steps: 20}` is short for one stage.

    In a panel the short form changes every stage of the storyboard's, and a list replaces them.
    """

    stages: tuple[SamplingStage, ...] = Field(
        default=(SamplingStage(),),
        min_length=1,
        max_length=MAX_STAGES,
        description=f"a list of 1 to {MAX_STAGES} stages, or a mapping with steps, sampler ...",
    )
    short: SkipJsonSchema[bool] = Field(default=False, exclude=True, repr=False)
    """Whether it was given in the short form; no part of what is sent."""

    @model_validator(mode="before")
    @classmethod
    def _one_stage(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given and "stages" not in given:
            return {"stages": [given], "short": True}
        return given

    def completed_by(self, base: "Sampling") -> "Sampling":
        """A panel's own sampling, with what it leaves out taken from the storyboard's.

        A storyboard of one stage completes every stage of the panel's.
        """
        if self.short:
            own = self.stages[0]
            return Sampling(stages=tuple(filled(own, stage) for stage in base.stages))
        if len(base.stages) == 1:
            return Sampling(stages=tuple(filled(own, base.stages[0]) for own in self.stages))
        return Sampling(stages=self.stages)


Settings = TypeVar("Settings", SamplingStage, Injection)


def filled(own: Settings, base: Settings) -> Settings:
    """`own`, with what was not set in it taken from `base`."""
    given = {name: getattr(own, name) for name in own.model_fields_set}
    return base.model_copy(update=given)
