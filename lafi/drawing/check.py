"""Whether engines can draw a storyboard, asked before any work."""

from collections.abc import Iterator, Mapping
from itertools import islice

from lafi.board.checks import pictures_of
from lafi.board.error import MAX_LINES, StoryboardError, Verbatim, closest, problem
from lafi.board.image_file import ImageFileError
from lafi.board.stage_checks import stage_fields
from lafi.board.stages import SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.registry import prepared
from lafi.drawing.content_address import stage_address
from lafi.drawing.crossing import crossing_problems
from lafi.drawing.enlarge import upscale_problems
from lafi.drawing.kept_latents import unpacked
from lafi.drawing.limited_texts import placing_problems
from lafi.drawing.long_texts import long_text_problems
from lafi.drawing.panel_controls import control_problems
from lafi.drawing.panel_scores import retry_problems
from lafi.drawing.picture_prompts import picture_prompt_problems
from lafi.drawing.plan import plan_panel, stage_size, stage_variant
from lafi.drawing.staged import latent_size
from lafi.drawing.weighted_texts import weight_problems
from lafi.model.check import check_against, clip_skip_problems
from lafi.model.families.registry import guidance_kind
from lafi.model.info import ModelInfo
from lafi.model.layers import injected_layers
from lafi.ports.engines import Engines
from lafi.sampling.guidance import guidance_of
from lafi.sampling.samplers import stage_problems


def check_drawable(storyboard: Storyboard, engines: Mapping[str, Engines]) -> None:
    """Raise StoryboardError unless the engines' models can draw every panel.

    engines: by the name of the variant; the storyboard's own is there.
    """
    check_variant(storyboard, engines)
    own = engines[storyboard.variant]
    check_against(storyboard, own.info)
    problems = retry_problems(storyboard, own.recogniser)
    problems += upscale_problems(storyboard, own.upscaler)
    problems += islice(_picture_problems(storyboard), MAX_LINES + 1)
    problems += islice(_every_panels_problems(storyboard, engines), MAX_LINES + 1)
    if not problems:
        models = {variant: each.info for variant, each in engines.items()}
        plans = [plan_panel(storyboard, panel, models) for panel in storyboard.panels]
        problems += weight_problems(storyboard, plans)
        if not problems:
            problems += long_text_problems(storyboard, plans, engines)
    if problems:
        raise StoryboardError(problems)


def _picture_problems(storyboard: Storyboard) -> Iterator[str]:
    """A line for each picture that cannot be decoded: senders check headers only."""
    whole: set[bytes] = set()
    for field, picture in pictures_of(storyboard):
        if picture.data in whole:
            continue
        try:
            picture.image()
        except ImageFileError as refused:
            yield problem(field, refused.got, refused.allowed)
        else:
            whole.add(picture.data)


def _every_panels_problems(storyboard: Storyboard, engines: Mapping[str, Engines]) -> Iterator[str]:
    """Each line once."""
    seen: set[str] = set()
    for index, panel in enumerate(storyboard.panels):
        for line in _panel_problems(index, panel, storyboard, engines):
            if line not in seen:
                seen.add(line)
                yield line


def check_variant(storyboard: Storyboard, engines: Mapping[str, Engines]) -> None:
    """Raise StoryboardError for a variant that is not among the engines."""
    if storyboard.variant not in engines:
        allowed = _known_variants(storyboard.variant, engines)
        raise StoryboardError([problem("variant", storyboard.variant, allowed)])


def _known_variants(name: str, engines: Mapping[str, Engines]) -> str:
    names = [other for other in engines if other]
    known = ", ".join(names) or "none, since this model has no variants"
    return f"{known}{closest(name, names)}"


def _panel_problems(
    index: int, panel: Panel, storyboard: Storyboard, engines: Mapping[str, Engines]
) -> Iterator[str]:
    sampling = storyboard.effective_sampling(panel)
    models = {variant: each.info for variant, each in engines.items()}
    yield from crossing_problems(index, panel, storyboard, models)
    variants = {stage_variant(storyboard, stage) for stage in sampling.stages}
    if panel.resume is not None and variants <= {*engines}:
        yield from _resume_problems(f"panels[{index}].resume", panel, storyboard, engines)
    for where, stage in stage_fields(f"panels[{index}].sampling", sampling):
        variant = stage_variant(storyboard, stage)
        if variant not in engines:
            yield problem(f"{where}.variant", variant, _known_variants(variant, engines))
            continue
        info = engines[variant].info
        yield from _stage_problems(where, stage, info)
        yield from clip_skip_problems(storyboard, info)
        size = stage_size(stage, storyboard.effective_size(panel), info.side_multiple)
        cells = (size[1] // info.vae_scale, size[0] // info.vae_scale)
        yield from _condition_problems(f"panels[{index}].conditions", panel, info, cells)
        yield from control_problems(f"panels[{index}].control", panel, engines[variant])
        yield from placing_problems(f"panels[{index}].objects", panel, info)
        pictures = f"panels[{index}].picture_prompts"
        yield from picture_prompt_problems(pictures, panel, engines[variant])
        injection = storyboard.effective_injection(panel, stage)
        try:
            injected_layers(info, injection.layers)
        except ValueError as error:
            yield f"panels[{index}].injection.{error}"
        width = size[0]
        if max(size) > info.side_limit:
            allowed = f"sides of at most {info.side_limit} pixels (model {info.name})"
            yield problem(f"{where}.size", list(size), allowed)
        if width < info.least_width:
            allowed = f"{info.least_width} pixels of width or more in {info.precision}"
            yield problem(f"{where}.size", width, allowed)


def _condition_problems(
    field: str, panel: Panel, info: ModelInfo, size: tuple[int, int]
) -> Iterator[str]:
    for place, condition in enumerate(panel.conditions):
        try:
            prepared(condition, info, size)
        except ValueError as error:
            yield f"{field}[{place}].{error}"


def _resume_problems(
    field: str, panel: Panel, storyboard: Storyboard, engines: Mapping[str, Engines]
) -> Iterator[str]:
    """Latents that other settings left, or that have another size."""
    assert panel.resume is not None
    models = {variant: each.info for variant, each in engines.items()}
    before = panel.resume.stage - 1
    allowed = f"what this panel as it is left after stage {before} on this model"
    if any(storyboard.character(name).reference is None for name in panel.characters):
        allowed += " (its characters' portraits are drawn with the storyboard's stages)"
    try:
        latents, address = unpacked(panel.resume.data)
        wanted = stage_address(storyboard, panel, models, before)
        plan = plan_panel(storyboard, panel, models)[before - 1]
    except ValueError as error:
        yield problem(field, Verbatim(error), allowed)
        return
    size = (engines[plan.variant].info.latent_channels, *latent_size(plan, engines[plan.variant]))
    if address != wanted or tuple(latents.shape) != size:
        yield problem(field, Verbatim("latents of other settings"), allowed)


def _stage_problems(where: str, stage: SamplingStage, info: ModelInfo) -> Iterator[str]:
    for line in stage_problems(stage, info.scheduler_config):
        yield f"{where}.{line}"
    try:
        guidance_of(stage, guidance_kind(info))
    except ValueError as error:
        yield f"{where}.{error}"
