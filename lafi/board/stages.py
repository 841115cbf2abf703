"""`Sampling`: the stages of drawing a panel, and the settings of each.

A stage continues from noise, from the stage before it, or from a picture. It has its own size,
noise and settings. Knows no model: `lafi.model` checks whether a model can draw a stage.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, field_serializer, model_validator
from pydantic.json_schema import SkipJsonSchema

from lafi.board.checked_model import CheckedModel
from lafi.board.condition import OutsideName
from lafi.board.image_file import ALLOWED
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
    """The start of a stage instead of the stage before it: a picture, or an earlier panel.

    In YAML: a file name, or the number of a panel.
    """

    image: ReferenceImage | None = Field(default=None, description=ALLOWED)
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
    """The part that a stage draws anew, as a picture or a region; the rest stays as in its source.

    A picture is read as grey, with transparent parts as black: white is drawn anew, black stays.
    In YAML: a file name, or [x0, y0, x1, y1].
    """

    image: ReferenceImage | None = Field(default=None, description=ALLOWED)
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
    """[width, height] in pixels, or a scale of the panel's size, which the last stage must have."""
    steps: Steps = 30
    """Computed steps: with `denoise` the last ones of a schedule of round(steps / denoise)."""
    sampler: (
        Annotated[
            Sampler | OutsideName,
            Allowed(f"{', '.join(Sampler.__args__)}, or package:Name of an installed package"),
        ]
        | None
    ) = None
    """Default: the model's, which is DDIM for a diffusion model and Euler for a flow model."""
    sigmas: Annotated[Sigmas, _choice(Sigmas)] = "default"
    """Spacing of the noise levels; `default`: as the model and the sampler define it."""
    shift: Shift | None = None
    """Fixed shift of a flow model's noise levels (arXiv:2403.03206); default: the model's."""
    base_shift: Shift | None = None
    max_shift: Shift | None = None
    """For a flow model whose shift depends on the picture's size."""
    time_shift_type: Annotated[TimeShift, _choice(TimeShift)] | None = None
    eta: Fraction | None = None
    """Share of fresh noise, for samplers that add any; default: the sampler's own."""
    s_noise: NoiseScale = 1.0
    """Scale of that noise."""
    guidance: Guidance = 5.0
    """Scale of classifier-free guidance; 1 is none."""
    guidance_start: Fraction = 0.0
    guidance_end: Fraction = 1.0
    """Step i of N has guidance if start <= i / N < end; others cost half (arXiv:2404.07724)."""
    guidance_rescale: Fraction = 0.0
    """How far guidance is rescaled to the standard deviation with prompt (arXiv:2305.08891)."""
    denoise: Denoise = 1.0
    """Share of the noise schedule that is computed; less than 1 keeps some of the source."""
    upscale: Annotated[Upscale, _choice(Upscale)] = "bilinear"
    """How latents are enlarged to this stage's size; `pixels` decodes, enlarges and encodes."""
    reuse_threshold: Fraction = 0.0
    """Steps reuse the last prediction while its total estimated change since then, as a share of
    itself, stays below this (EasyCache, arXiv:2507.02860); 0: off."""
    reuse_start: Fraction = 0.15
    reuse_end: Fraction = 0.95
    """Step i of N may reuse if start <= i / N < end; never the first or last step, nor one at
    which guidance or injection turns on or off."""
    reuse_window: Annotated[ReuseWindow, _choice(ReuseWindow)] = "steps"
    """Start and end are shares of the stage's steps, or of the model's noise schedule."""
    seed: Seed | None = None
    """Default: the panel's."""
    prompt: PanelPrompt | None = None
    """Default: the panel's; {mia} stands for a character."""
    variant: VariantName | None = None
    """Default: the storyboard's."""
    injection: Injection | None = None
    """Fields that are left out are the panel's."""
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
        """Leaves out unset fields on the wire too, because the panel's values count for them."""
        return None if injection is None else injection.model_dump(exclude_unset=True)


class Sampling(CheckedModel):
    """Stages of denoising; `{steps: 20}` is short for one stage.

    In a panel, the short form changes all of the storyboard's stages, and a list replaces them.
    """

    stages: tuple[SamplingStage, ...] = Field(
        default=(SamplingStage(),),
        min_length=1,
        max_length=MAX_STAGES,
        description=f"a list of 1 to {MAX_STAGES} stages, or a mapping with steps, sampler ...",
    )
    short: SkipJsonSchema[bool] = Field(default=False, exclude=True, repr=False)
    """Whether it was given in the short form."""
    own: SkipJsonSchema[SamplingStage | None] = Field(default=None, exclude=True, repr=False)
    """What a panel's short form says, once `stages` are completed."""

    @property
    def short_form(self) -> SamplingStage | None:
        """The stage of the short form, if it was given in it."""
        return self.stages[0] if self.short else self.own

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sampling) and self.stages == other.stages

    def __hash__(self) -> int:
        return hash(self.stages)

    @model_validator(mode="before")
    @classmethod
    def _one_stage(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given and "stages" not in given:
            return {"stages": [given], "short": True}
        return given

    def completed_by(self, base: "Sampling") -> "Sampling":
        """A panel's own sampling, completed with the storyboard's values.

        A storyboard with one stage completes every stage of the panel.
        """
        if self.short:
            own = self.stages[0]
            return Sampling(stages=tuple(filled(own, stage) for stage in base.stages), own=own)
        if len(base.stages) == 1:
            return Sampling(stages=tuple(filled(own, base.stages[0]) for own in self.stages))
        return Sampling(stages=self.stages)


Settings = TypeVar("Settings", SamplingStage, Injection)


def filled(own: Settings, base: Settings) -> Settings:
    """`own`, with unset fields taken from `base`."""
    given = {name: getattr(own, name) for name in own.model_fields_set}
    return base.model_copy(update=given)
