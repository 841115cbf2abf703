"""Chooses which changes of a graph are faster on this machine, by measuring each on one layer.

Rule, written before any figure was seen: a change is made if the layer's least time with it is at
most WORTH of its least time without, in turns. A layer decides for all models, since a model of
real size would have to be loaded twice. Knows OpenVINO and layers, not models.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np

from lafi.engine.onnx.graph import WITHOUT_SNIPPETS, Precision, RuntimeName
from lafi.engine.onnx.openvino_changes import VECTOR, Array, change_graph
from lafi.engine.onnx.packages import openvino_package
from lafi.engine.onnx.signal_stack import kept_signal_stack
from lafi.model.graph_changes import GRAPH_CHANGES, GraphChange

WORTH: Final = 0.97
TURNS: Final = 12
ROWS, CHANNELS, TOKENS, TEXT = 16, 128, 256, 77
"""Of layers with tokens: as a UNet of 128 px has them, for 8 panels with guidance."""
DEEP_CHANNELS, DEEP_SIDE = 256, 8
"""Of the layer with a group norm, which is deeper in it."""

OPTION: Final = "--graph-changes"
MEASURED: Final = "measured"
_NONE: Final = "none"

Call = Callable[[], object]


class GraphOptionError(ValueError):
    """The option names no change; the text names option, value and what is allowed."""


def parse_graph_changes(given: str) -> tuple[GraphChange, ...] | None:
    """Of the option; None where they are to be chosen by measuring. Raises GraphOptionError."""
    if given == MEASURED:
        return None
    names = [] if given == _NONE else given.split(",")
    for name in names:
        if name not in GRAPH_CHANGES:
            allowed = f"{MEASURED}, {_NONE}, or of {', '.join(GRAPH_CHANGES)}, separated by commas"
            raise GraphOptionError(f"{OPTION}: got {name!r}, allowed {allowed}")
    return tuple(change for change in GRAPH_CHANGES if change in names)


@dataclass(frozen=True, slots=True)
class GraphChoice:
    """Changes that are made; ratios: time with each to time without, empty if not measured."""

    changes: tuple[GraphChange, ...] = ()
    ratios: Mapping[str, float] = field(default_factory=dict)


def choose_graph(
    asked: Sequence[GraphChange] | None, threads: int, runtime: RuntimeName, precision: Precision
) -> GraphChoice:
    """What is made of a denoiser's graph; nothing of one that ONNX Runtime runs.

    asked: as `parse_graph_changes` gives them.
    """
    if runtime != "openvino":
        return GraphChoice()
    if asked is not None:
        return GraphChoice(tuple(asked))
    ratios = measured_ratios(precision, threads)
    return GraphChoice(tuple(c for c in GRAPH_CHANGES if ratios[c] <= WORTH), ratios)


@cache
def measured_ratios(precision: Precision, threads: int) -> Mapping[str, float]:
    """Least time of a layer with each change, divided by its least time without.

    Measured once in a process, so that models exported together are changed alike.
    """
    with kept_signal_stack():
        return {change: _ratio(*layer(precision, threads)) for change, layer in _LAYERS_OF.items()}


def _ratio(plain: Call, changed: Call) -> float:
    seconds: dict[Call, list[float]] = {plain: [], changed: []}
    for turn in range(TURNS):
        for call in (plain, changed) if turn % 2 else (changed, plain):
            began = time.perf_counter()
            call()
            seconds[call].append(time.perf_counter() - began)
    return min(seconds[changed]) / min(seconds[plain])


def _compiled(model: Any, feeds: Sequence[Array], precision: Precision, threads: int) -> Call:
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
    settings |= WITHOUT_SNIPPETS if precision == "bf16" else {}
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    request = openvino_package().Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer([*feeds], share_inputs=True)


def _with_and_without(
    build: Callable[[], Any],
    change: GraphChange,
    feeds: Sequence[Array],
    precision: Precision,
    threads: int,
) -> tuple[Call, Call]:
    changed = build()
    change_graph(changed, [change])
    return _compiled(build(), feeds, precision, threads), _compiled(
        changed, feeds, precision, threads
    )


def _norm_layer(precision: Precision, threads: int) -> tuple[Call, Call]:
    """A convolution, a group norm with SiLU, a convolution."""
    pixels = _normal(ROWS, DEEP_CHANNELS, DEEP_SIDE, DEEP_SIDE)
    return _with_and_without(_norm, "channel_convolutions", [pixels], precision, threads)


def _norm() -> Any:
    from openvino import Model, opset14

    given = opset14.parameter([-1, DEEP_CHANNELS, -1, -1], np.float32)
    first = _convolution(given)
    groups = opset14.reshape(first, np.array([0, DEEP_CHANNELS // 8, -1]), True)
    normed = opset14.mvn(groups, np.array([2]), True, 1e-5, "INSIDE_SQRT")
    back = opset14.reshape(normed, opset14.shape_of(first), False)
    weight, bias = _normal(DEEP_CHANNELS, 1, 1), _normal(DEEP_CHANNELS, 1, 1)
    scaled = opset14.add(opset14.multiply(back, weight), bias)
    silu = opset14.multiply(scaled, opset14.sigmoid(scaled))
    return Model([_convolution(silu)], [given], "norm")


def _convolution(given: Any) -> Any:
    from openvino import opset14

    kernels = _normal(DEEP_CHANNELS, DEEP_CHANNELS, 1, 1) / 10.0
    return opset14.convolution(given, kernels, [1, 1], [0, 0], [0, 0], [1, 1])


def _gate_layer(precision: Precision, threads: int) -> tuple[Call, Call]:
    """A feed-forward layer whose projection is gated."""
    tokens = _normal(ROWS, TOKENS, CHANNELS)
    return _with_and_without(_gate, "split_gates", [tokens], precision, threads)


def _gate() -> Any:
    from openvino import Model, opset14

    wide = 4 * CHANNELS
    given = opset14.parameter([-1, -1, CHANNELS], np.float32)
    product = opset14.matmul(given, _normal(2 * wide, CHANNELS) / 10.0, False, True)
    both = opset14.add(product, opset14.constant(_normal(2 * wide)))
    halves = opset14.split(both, 2, 2)
    gated = opset14.multiply(halves.output(0), opset14.gelu(halves.output(1), "erf"))
    out = opset14.matmul(gated, _normal(CHANNELS, wide) / 20.0, False, True)
    return Model([out], [given], "gate")


def _text_layer(precision: Precision, threads: int) -> tuple[Call, Call]:
    """Attention to a text of TEXT tokens, and of as many more as make whole vectors."""
    heads = CHANNELS // 32
    given = _normal(ROWS, heads, TOKENS, 32)
    calls = []
    for tokens in (TEXT, TEXT + -TEXT % VECTOR):
        keys, values = _normal(ROWS, heads, 32, tokens), _normal(ROWS, heads, tokens, 32)
        mask = _normal(ROWS, 1, TOKENS, tokens)
        calls.append(_compiled(_text(heads), [given, keys, values, mask], precision, threads))
    return calls[0], calls[1]


def _text(heads: int) -> Any:
    from openvino import Model, opset14

    shapes = ([-1, heads, -1, 32], [-1, heads, 32, -1], [-1, heads, -1, 32], [-1, 1, -1, -1])
    inputs = [opset14.parameter(shape, np.float32) for shape in shapes]
    queries, keys, values, mask = inputs
    logits = opset14.add(opset14.matmul(queries, keys, False, False), mask)
    read = opset14.matmul(opset14.softmax(logits, -1), values, False, False)
    return Model([read], inputs, "text")


def _normal(*shape: int) -> Array:
    drawn: Array = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
    return drawn


_LAYERS_OF: Final[Mapping[GraphChange, Callable[[Precision, int], tuple[Call, Call]]]] = {
    "channel_convolutions": _norm_layer,
    "split_gates": _gate_layer,
    "whole_vectors": _text_layer,
}
