"""Stages that another model draws than the one before: what is refused before any work.

Knows stages and facts of models, no tensor.
"""

from collections.abc import Iterator, Mapping

from lafi.board.error import problem
from lafi.board.stage_checks import stage_fields
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.plan import stage_variant
from lafi.model.info import ModelInfo


def crossing_problems(
    index: int, panel: Panel, storyboard: Storyboard, models: Mapping[str, ModelInfo]
) -> Iterator[str]:
    """A line for each stage to which latents would come that mean nothing to its model.

    Also for a panel whose last stage is drawn by a model that has no pictures of its size.
    models: facts by the name of the variant; unknown ones are refused elsewhere.
    """
    fields = [*stage_fields(f"panels[{index}].sampling", storyboard.effective_sampling(panel))]
    named = [stage_variant(storyboard, stage) for _, stage in fields]
    if not {*named} <= {*models}:
        return
    for at in range(1, len(fields)):
        where, stage = fields[at]
        before, own = (models[named[place]] for place in (at - 1, at))
        if stage.source is None and stage.upscale != "pixels" and not own.shares_latents(before):
            yield problem(
                f"{where}.upscale",
                stage.upscale,
                f"pixels: {before.name} draws the stage before, and its latents mean nothing to "
                f"{own.name}",
            )
    last, own = models[named[-1]], models[storyboard.variant]
    multiple = last.side_multiple
    if multiple == own.side_multiple:
        return
    for field, side in zip(("width", "height"), storyboard.effective_size(panel), strict=True):
        if side % multiple:
            allowed = f"a multiple of {multiple} pixels (model {last.name} draws the last stage)"
            yield problem(f"panels[{index}].{field}", side, allowed)
