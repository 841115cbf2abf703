"""Checks that need several fields of a stage: its place, its source, its windows.

Each function yields one line per problem. Knows no model.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lafi.board.error import Verbatim, problem
from lafi.board.injection import Injection
from lafi.board.limits import MAX_SCHEDULE
from lafi.board.stages import Sampling, SamplingStage

if TYPE_CHECKING:
    from lafi.board.storyboard import Storyboard

WITHOUT_SIGMAS = ("DDPM", "DDIM", "EulerAncestral", "LCM")
"""Samplers with fixed noise levels; the others take karras, exponential and beta."""
DYNAMIC_SHIFT = ("base_shift", "max_shift", "time_shift_type")


def stage_fields(field: str, sampling: Sampling) -> Iterator[tuple[str, SamplingStage]]:
    """Each stage with the name of its field; a single stage has the name of the short form."""
    alone = len(sampling.stages) == 1
    for place, stage in enumerate(sampling.stages):
        yield (field if alone else f"{field}.stages[{place}]"), stage


def sampling_problems(field: str, sampling: Sampling) -> Iterator[str]:
    """Checks settings that must fit each other within a stage."""
    for where, stage in stage_fields(field, sampling):
        yield from _stage_problems(where, stage)


def _stage_problems(where: str, stage: SamplingStage) -> Iterator[str]:
    if stage.sigmas != "default" and stage.sampler in WITHOUT_SIGMAS:
        yield problem(f"{where}.sigmas", stage.sigmas, f"default with {stage.sampler}")
    for name in ("guidance", "reuse"):
        start, end = getattr(stage, f"{name}_start"), getattr(stage, f"{name}_end")
        if end < start:
            yield problem(f"{where}.{name}_end", end, f"{start:g} (its {name}_start) to 1")
    if round(stage.steps / stage.denoise) > MAX_SCHEDULE:
        least = f"{stage.steps / MAX_SCHEDULE:g} to 1 with {stage.steps} steps"
        yield problem(f"{where}.denoise", stage.denoise, least)
    if stage.shift is not None:
        for name in DYNAMIC_SHIFT:
            if getattr(stage, name) is not None:
                allowed = "nothing beside shift, which is fixed"
                yield problem(f"{where}.{name}", getattr(stage, name), allowed)
    if stage.injection is not None:
        yield from injection_problems(f"{where}.injection", stage.injection)
    yield from _source_problems(where, stage)


def _source_problems(where: str, stage: SamplingStage) -> Iterator[str]:
    one = "one of the two"
    source, mask = stage.source, stage.mask
    if source is not None and (source.image is None) == (source.panel is None):
        yield problem(f"{where}.from", Verbatim("image and panel, or neither"), one)
    if mask is not None and (mask.image is None) == (mask.region is None):
        yield problem(f"{where}.mask", Verbatim("image and region, or neither"), one)


def place_problems(field: str, index: int, storyboard: "Storyboard") -> Iterator[str]:
    """Checks what the stages of panel `index` begin with, and their final size."""
    panel = storyboard.panels[index]
    # Problems of the storyboard's own stages are reported once, for the first panel.
    own = panel.sampling is not None
    if own or index == 0:
        name = f"{field}.sampling" if own else "sampling"
        yield from _order_problems(name, storyboard.effective_sampling(panel))
    for where, stage in stage_fields(f"{field}.sampling", storyboard.effective_sampling(panel)):
        source = stage.source
        if source is not None and source.panel is not None and source.panel >= index:
            before = f"0 to {index - 1}" if index else "nothing: no panel comes before panel 0"
            yield problem(f"{where}.from", source.panel, f"an earlier panel, {before}")
    stages = storyboard.effective_sampling(panel).stages
    if panel.resume is not None and panel.resume.stage > len(stages):
        allowed = f"2 to {len(stages)}" if len(stages) > 1 else "nothing with a single stage"
        yield problem(f"{field}.resume.stage", panel.resume.stage, allowed)
    last = stages[-1].size
    width, height = storyboard.effective_size(panel)
    if last not in (None, 1.0, (width, height)):
        fields = [*stage_fields(f"{field}.sampling", storyboard.effective_sampling(panel))]
        allowed = f"[{width}, {height}], the panel's own, or nothing in its last stage"
        yield problem(f"{fields[-1][0]}.size", last, allowed)


def _order_problems(field: str, sampling: Sampling) -> Iterator[str]:
    where, first = next(stage_fields(field, sampling))
    if first.source is not None:
        return
    if first.denoise != 1.0:
        allowed = "1 in a first stage without from, which begins with noise alone"
        yield problem(f"{where}.denoise", first.denoise, allowed)
    if first.mask is not None:
        allowed = "nothing in a first stage without from, which has no source to keep"
        yield problem(f"{where}.mask", Verbatim("a mask"), allowed)


def injection_problems(field: str, injection: Injection) -> Iterator[str]:
    """Checks for a window that ends before it starts, and for layers listed twice."""
    if injection.end < injection.start:
        yield problem(f"{field}.end", injection.end, f"{injection.start:g} (its start) to 1")
    layers = injection.layers
    if isinstance(layers, tuple) and len({*layers}) < len(layers):
        yield problem(f"{field}.layers", layers, "each layer once")
