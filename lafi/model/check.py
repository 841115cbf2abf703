"""Checks whether a model can draw a storyboard: sides, layers, precision."""

from collections.abc import Iterator

from lafi.board.error import StoryboardError, problem
from lafi.board.injection import Injection
from lafi.board.storyboard import Storyboard
from lafi.model.families.registry import text_stack_of
from lafi.model.info import ModelInfo


def check_against(storyboard: Storyboard, model: ModelInfo) -> None:
    """Raise `StoryboardError` unless `model` can draw the storyboard."""
    if problems := model_problems(storyboard, model):
        raise StoryboardError(problems)


def model_problems(storyboard: Storyboard, model: ModelInfo) -> list[str]:
    """One line for each side that the model cannot draw, and each layer that it lacks."""
    return [*_all_model_problems(storyboard, model)]


def _all_model_problems(storyboard: Storyboard, model: ModelInfo) -> Iterator[str]:
    yield from _side_problems("", storyboard.width, storyboard.height, model)
    yield from _layer_problems("injection", storyboard.injection, model)
    yield from clip_skip_problems(storyboard, model)
    for index, panel in enumerate(storyboard.panels):
        yield from _side_problems(f"panels[{index}].", panel.width, panel.height, model)
        if panel.injection is not None:
            yield from _layer_problems(f"panels[{index}].injection", panel.injection, model)


def clip_skip_problems(storyboard: Storyboard, model: ModelInfo) -> Iterator[str]:
    """A line if prompts are to skip more layers than the model's text encoder can."""
    most = model.most_clip_skip
    if storyboard.clip_skip <= most:
        return
    allowed = f"0 to {most} with {model.name}" if most else f"0 with {model.name}"
    if not most and text_stack_of(model).skips_layers:
        allowed += (
            ", which was exported before layers could be skipped; export it again: "
            "lafi export CHECKPOINT --out REPOSITORY"
        )
    yield problem("clip_skip", storyboard.clip_skip, allowed)


def _side_problems(
    prefix: str, width: int | None, height: int | None, model: ModelInfo
) -> Iterator[str]:
    for field, side in (("width", width), ("height", height)):
        if side is not None and side % model.side_multiple:
            allowed = f"a multiple of {model.side_multiple} pixels (model {model.name})"
            yield problem(f"{prefix}{field}", side, allowed)
        elif side is not None and side > model.side_limit:
            allowed = f"at most {model.side_limit} pixels (model {model.name})"
            yield problem(f"{prefix}{field}", side, allowed)
    if width is not None and width < model.least_width:
        # `lafi.engine.onnx.graph` says why. Refused here, the panel costs no work.
        allowed = f"{model.least_width} pixels or more in {model.precision} (model {model.name})"
        yield problem(f"{prefix}width", width, allowed)


def _layer_problems(field: str, injection: Injection, model: ModelInfo) -> Iterator[str]:
    count, layers = len(model.layers), injection.layers
    given = (layers,) if isinstance(layers, int) else layers if isinstance(layers, tuple) else ()
    for layer in given:
        if layer >= count:
            allowed = f"0 to {count - 1}, or a preset (model {model.name} has {count} layers)"
            yield problem(f"{field}.layers", layer, allowed)
