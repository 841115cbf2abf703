"""What a storyboard's panels become on one model: every stage with its size, texts and layers.

Knows storyboards and facts of models, no tensor and no engine. What is drawn otherwise than it was
written, `notes` says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lafi.board.injection import Injection
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.model.families.registry import guidance_kind
from lafi.model.family import GuidanceKind
from lafi.model.info import ModelInfo
from lafi.model.layers import injected_layers
from lafi.sampling.samplers import DEFAULT_SAMPLERS, with_sampler
from lafi.sampling.window import in_window


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of one panel.

    number    from 1
    settings  as the storyboard has them, with a sampler
    size      width and height in pixels, multiples of what the model allows
    text      the prompt with everybody's description, behind the triggers; negative: the negative
              prompt, "" for none
    trigger   the variant's and the storyboard's, each with its comma; "" for none
    guidance  how the model gets guidance
    layers    in which references are read; reads: whose, empty where no step injects
    variant   of the model that draws it, "" for the model itself
    """

    number: int
    settings: SamplingStage
    size: tuple[int, int]
    text: str
    negative: str
    injection: Injection
    layers: tuple[int, ...]
    reads: tuple[str, ...]
    variant: str
    trigger: str
    guidance: GuidanceKind

    @property
    def guided(self) -> bool:
        """Whether a negative prompt can have an effect."""
        return self.guidance == "rows" and self.settings.guidance > 1.0

    @property
    def from_noise(self) -> bool:
        """Whether it begins with noise alone, whatever there is to begin with."""
        return self.settings.denoise == 1.0


def plan_panel(
    storyboard: Storyboard, panel: Panel, models: Mapping[str, ModelInfo]
) -> tuple[StagePlan, ...]:
    """The stages of a panel (or of a portrait's panel) in their order.

    models: facts by the name of the variant. Raises KeyError for a variant that is not there and
    ValueError for layers that its model does not have; `check_drawable` refuses both before.
    """
    stages = with_samplers(storyboard, panel, models).stages
    return tuple(
        _plan_stage(storyboard, panel, stage, number, models)
        for number, stage in enumerate(stages, 1)
    )


def at_own_size(storyboard: Storyboard, models: Mapping[str, ModelInfo]) -> Storyboard:
    """The storyboard, with the model's own side for a width or height that is not set.

    models: facts by the name of the variant. As it was where its own is not there or not known.
    """
    model = models.get(storyboard.variant)
    unset = {"width", "height"} - storyboard.model_fields_set
    if model is None or not model.own_side or not unset:
        return storyboard
    return storyboard.model_copy(update=dict.fromkeys(unset, model.own_side))


def stage_variant(storyboard: Storyboard, stage: SamplingStage) -> str:
    """The variant that draws a stage: its own or the storyboard's."""
    return storyboard.variant if stage.variant is None else stage.variant


def with_samplers(
    storyboard: Storyboard, panel: Panel, models: Mapping[str, ModelInfo]
) -> Sampling:
    """A panel's stages, each with a sampler; models: facts by the name of the variant."""
    sampling = storyboard.effective_sampling(panel)
    stages = (
        with_sampler(stage, models[stage_variant(storyboard, stage)].scheduler_config)
        for stage in sampling.stages
    )
    return sampling.model_copy(update={"stages": tuple(stages)})


def stage_size(stage: SamplingStage, size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Width and height of a stage of a panel of `size` pixels, to the nearest `multiple`."""
    given = 1.0 if stage.size is None else stage.size
    width, height = given if isinstance(given, tuple) else (given * side for side in size)
    rounded = (max(1, round(side / multiple)) * multiple for side in (width, height))
    return next(rounded), next(rounded)


def notes(storyboard: Storyboard, plans: Sequence[tuple[StagePlan, ...]]) -> Iterator[str]:
    """A line for everything that is drawn otherwise than it was written, each once.

    plans: of every panel.
    """
    lines = (
        line
        for index, panel in enumerate(storyboard.panels)
        for stage in plans[index]
        for line in _notes(storyboard, index, panel, stage)
    )
    yield from dict.fromkeys(lines)


def _plan_stage(
    storyboard: Storyboard,
    panel: Panel,
    stage: SamplingStage,
    number: int,
    models: Mapping[str, ModelInfo],
) -> StagePlan:
    variant = stage_variant(storyboard, stage)
    info = models[variant]
    injection = storyboard.effective_injection(panel, stage)
    layers = injected_layers(info, injection.layers)
    window = (in_window(i, stage.steps, injection.start, injection.end) for i in range(stage.steps))
    trigger = in_front(info.trigger) + in_front(storyboard.trigger)
    return StagePlan(
        number=number,
        settings=stage,
        size=stage_size(stage, storyboard.effective_size(panel), info.side_multiple),
        text=trigger + panel.stage_text(storyboard, stage),
        negative=panel.negative_text(storyboard),
        injection=injection,
        layers=layers,
        reads=panel.characters if layers and any(window) else (),
        variant=variant,
        trigger=trigger,
        guidance=guidance_kind(info),
    )


def in_front(trigger: str) -> str:
    """A trigger as it stands in front of a prompt; "" for none."""
    words = trigger.strip().removesuffix(",").rstrip()
    return f"{words}, " if words else ""


def _notes(storyboard: Storyboard, index: int, panel: Panel, stage: StagePlan) -> Iterator[str]:
    alone = len(storyboard.effective_sampling(panel).stages) == 1
    own = panel.sampling is not None
    prefix = f"panels[{index}]." if own else ""
    where = f"{prefix}sampling" if alone else f"{prefix}sampling.stages[{stage.number - 1}]"
    given = storyboard.effective_sampling(panel).stages[stage.number - 1]
    if given.sampler is None and stage.settings.sampler != DEFAULT_SAMPLERS["diffusion"]:
        yield f"{where}.sampler: {stage.settings.sampler}, the default of this flow model"
    asked = stage_size(stage.settings, storyboard.effective_size(panel), 1)
    if asked != stage.size:
        said = " x ".join(map(str, asked))
        yield f"{where}.size: {said} is drawn as {stage.size[0]} x {stage.size[1]}"
    if trigger := stage.trigger.removesuffix(in_front(storyboard.trigger)):
        yield f"variant: {stage.variant} puts {trigger.rstrip()!r} in front of every prompt"
    begins = stage.number > 1 or stage.settings.source is not None
    if begins and stage.from_noise and stage.settings.mask is None:
        yield f"{where}.denoise: 1 draws everything anew, and nothing of what came before stays"
    if stage.negative and not stage.guided:
        field = f"panels[{index}].negative_prompt" if panel.negative_prompt else "negative_prompt"
        scale = f"where guidance is {stage.settings.guidance:g}"
        void = scale if stage.guidance == "rows" else "with this model, which draws without it"
        yield f"{field}: has no effect {void} ({where})"
    if stage.guidance == "none" and "guidance" in given.model_fields_set:
        yield f"{where}.guidance: has no effect with this model, which was made to draw without it"
