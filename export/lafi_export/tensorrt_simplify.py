"""Takes shape arithmetic out of an exported graph, for compilers that make a layer of every node.

What a runtime on the CPU computes in microseconds is thousands of layers to TensorRT. Everything
here leaves results as they are, bit for bit but for group normalisation, whose sums may come in
another order. Knows graphs, not TensorRT and not what a graph is for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
import onnx_ir.passes.common as passes_of_ir
import onnxscript.optimizer
from onnxscript import ir
from onnxscript.version_converter import convert_version

from lafi_export.attention_op import with_attention_function
from lafi_export.tensorrt_rewrites import join_nodes
from lafi_kernels import onnx_function

OPSET: Final = onnx_function.OPERATOR_OPSET
_PASSES: Final = 3
"""Rounds; a later one finds nothing new."""
_SMALL: Final = 64
"""Numbers in a constant that may be a shape or a list of axes; what is larger is a weight."""


def simplified(model: onnx.ModelProto, folder: Path, *, inline: bool) -> onnx.ModelProto:
    """The model in OPSET with fewer nodes and the same results, for inputs without an axis of 0.

    folder: in which its weights lie; they stay there, under their names. The op's body is the one
    with the standard operator. inline: it takes the place of the op's nodes; without, it stays a
    local function and they stay nodes.
    """
    del model.functions[:]
    graph = _read(model, folder)
    # Of attention's own nodes, whose domain it does not know, it says so in the log alone.
    convert_version(graph, OPSET, fallback=False)
    model = ir.to_proto(graph)
    if not any(node.domain == onnx_function.DOMAIN for node in model.graph.node):
        return _reduced(model, folder)
    model = with_attention_function(model, onnx_function.operator_function())
    if inline:
        return _reduced(onnx.inliner.inline_local_functions(model), folder)
    functions = list(model.functions)
    del model.functions[:]
    made = _reduced(model, folder)
    made.functions.extend(functions)
    return made


def _reduced(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    graph = _read(model, folder)
    join_nodes(graph)
    for _ in range(_PASSES):
        _once(graph)
    return ir.to_proto(graph)


def _read(model: onnx.ModelProto, folder: Path) -> ir.Model:
    graph = ir.from_proto(model)
    ir.external_data.set_base_dir(graph.graph, folder)
    return graph


def _once(model: ir.Model) -> None:
    onnxscript.optimizer.fold_constants(model, onnx_shape_inference=True, should_fold=_may_fold)
    passes_of_ir.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _share_constants(model)
    _share_sizes(model)
    for node in list(model.graph):
        if _does_nothing(node):
            _replace(node.outputs[0], node.inputs[0])
        elif node.op_type == "Reshape" and (shape := _constant_shape(node)) is not None:
            node.attributes.pop("allowzero", None)
            node.replace_input_with(1, _added(model, f"{node.outputs[0].name}_shape", shape))
    for simplify in (
        passes_of_ir.IdentityEliminationPass(),
        passes_of_ir.CommonSubexpressionEliminationPass(),
        passes_of_ir.RemoveUnusedNodesPass(),
    ):
        simplify(model)


def _may_fold(node: ir.Node) -> bool | None:
    """What reads a weight stays as it is: every weight keeps its name, shape and place."""
    large = any(value is not None and _is_weight(value) for value in node.inputs)
    return False if large else None


def _is_weight(value: ir.Value) -> bool:
    kept = value.const_value
    return kept is not None and (isinstance(kept, ir.ExternalTensor) or kept.size > _SMALL)


def _share_constants(model: ir.Model) -> None:
    """Equal numbers become one, so that what is computed with them is seen to be equal too."""
    known: dict[tuple[ir.DataType, tuple[int, ...], bytes], ir.Value] = {}
    for value in list(model.graph.initializers.values()):
        kept = value.const_value
        if kept is None or _is_weight(value) or value.is_graph_output():
            continue
        key = (kept.dtype, tuple(kept.shape.numpy()), kept.tobytes())
        first = known.setdefault(key, value)
        if first is not value:
            _replace(value, first)


def _share_sizes(model: ir.Model) -> None:
    """The same axis of many values is asked of one alone: of the first that has it."""
    asked: dict[str, ir.Value] = {}
    for node in model.graph:
        if node.op_type != "Shape" or node.domain:
            continue
        size = _only_size(node)
        if size is not None:
            first = asked.setdefault(size, node.outputs[0])
            if first is not node.outputs[0]:
                _replace(node.outputs[0], first)


def _only_size(node: ir.Node) -> str | None:
    """The symbol of the one axis that a Shape node asks for."""
    value = node.inputs[0]
    if value is None or value.shape is None:
        return None
    start, end = node.attributes.get("start"), node.attributes.get("end")
    rank = len(value.shape)
    first = start.as_int() if start is not None else 0
    last = end.as_int() if end is not None else rank
    first, last = (place + rank if place < 0 else place for place in (first, last))
    if last - first != 1:
        return None
    size = value.shape[first]
    return size.value if isinstance(size, ir.SymbolicDim) else None


def _does_nothing(node: ir.Node) -> bool:
    """Whether the one output is the first input: a slice of all, a reshape to the same shape..."""
    if node.domain or len(node.outputs) != 1 or node.outputs[0].is_graph_output():
        return False
    if node.op_type in ("Mul", "Div"):
        factor = _numbers(node.inputs[1])
        return factor is not None and factor.size == 1 and factor.item() == 1 and _kept(node)
    if node.op_type == "Slice":
        starts, steps = _numbers(node.inputs[1]), _numbers(_input(node, 4))
        plain = (
            starts is not None and not starts.any() and (steps is None or bool((steps == 1).all()))
        )
        return plain and _kept(node)
    return node.op_type in ("Reshape", "Expand") and _kept(node)


def _kept(node: ir.Node) -> bool:
    """Whether the output surely has the shape of the first input."""
    given, made = _sizes(node.inputs[0]), _sizes(node.outputs[0])
    return given is not None and given == made and None not in given


def _constant_shape(node: ir.Node) -> list[int] | None:
    """The shape of a Reshape in numbers: 0 for an axis that stays, -1 for one that is left."""
    if _numbers(node.inputs[1]) is not None:
        return None
    given, made = _sizes(node.inputs[0]), _sizes(node.outputs[0])
    if given is None or made is None:
        return None
    shape = [
        size
        if isinstance(size, int)
        else 0
        if place < len(given) and size is not None and size == given[place]
        else -1
        for place, size in enumerate(made)
    ]
    return shape if shape.count(-1) <= 1 else None


def _sizes(value: ir.Value | None) -> list[int | str | None] | None:
    """Of each axis a number, a symbol, or None where nothing is known; None: rank unknown."""
    if value is None or value.shape is None:
        return None
    return [size if isinstance(size, int) else size.value for size in value.shape]


def _numbers(value: ir.Value | None) -> npt.NDArray[Any] | None:
    if value is None or value.const_value is None or _is_weight(value):
        return None
    return value.const_value.numpy()


def _input(node: ir.Node, place: int) -> ir.Value | None:
    return node.inputs[place] if place < len(node.inputs) else None


def _added(model: ir.Model, name: str, numbers: Sequence[int]) -> ir.Value:
    tensor = ir.tensor(np.array(numbers, np.int64), name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape([len(numbers)]),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    model.graph.register_initializer(value)
    return value


def _replace(old: ir.Value, new: ir.Value | None) -> None:
    assert new is not None
    ir.convenience.replace_all_uses_with(old, new)
