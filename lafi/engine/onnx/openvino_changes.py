"""The changes of `lafi.model.graph_changes`: of OpenVINO's model, and of what a call is given.

Measured on the bundled denoiser by benchmarks/graph_changes.py (OpenVINO 2026.4). Scale, shift and
SiLU of a group norm are one element-wise kernel, which takes up to 20 times as long as reading and
writing, most where pictures are small; a depthwise convolution does the same for neighbouring
channels at once. A split on the last axis copies; two products do not, and the second takes the
activation into its kernel. A softmax over 77 tokens computes the last 13 apart from the others.
Knows OpenVINO's operators, not models.
"""

import ctypes
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lafi.model.graph_changes import GraphChange
from lafi.model.input_port import TEXT_MASK, TOKENS, WORDS, InputPort

VECTOR: Final = 16
"""Numbers of float32 in the widest vector of a processor."""

_DOES_NOT_COUNT: Final = 0.0

Array = NDArray[Any]


def change_graph(model: Any, changes: Collection[GraphChange]) -> None:
    """Makes the changes of the graph in an `openvino.Model`, in place."""
    for change in changes:
        if change in _OF_GRAPHS:
            _OF_GRAPHS[change](model)
    model.validate_nodes_and_infer_types()


def padded_texts(ports: Sequence[InputPort]) -> dict[str, tuple[int, float]]:
    """Which inputs are padded for `whole_vectors`: name -> (axis of tokens, fill).

    None where a call cannot say which tokens count, and where text is not read by cross-attention.
    """
    found = {port.name: (axis, port.fill) for port in ports if (axis := port.axis(TOKENS))}
    if not {WORDS, TEXT_MASK} <= {*found}:
        return {}
    return found | {TEXT_MASK: (found[TEXT_MASK][0], _DOES_NOT_COUNT)}


def with_whole_vectors(
    feed: Mapping[str, Array], padded: Mapping[str, tuple[int, float]]
) -> dict[str, Array]:
    """The inputs of a call, texts padded to a multiple of VECTOR tokens, which do not count."""
    filled = dict(feed)
    for name, (axis, fill) in padded.items():
        if name in feed and (missing := -feed[name].shape[axis] % VECTOR):
            widths = [(0, 0)] * feed[name].ndim
            widths[axis] = (0, missing)
            filled[name] = np.pad(feed[name], widths, constant_values=fill)
    return filled


def _convolve_channels(model: Any) -> None:
    from openvino import opset14

    for shift in model.get_ordered_ops():
        found = _scale_and_shift(shift)
        if found is None:
            continue
        normed, weight, bias = found
        last = _silu_after(shift) or shift
        users = [*last.output(0).get_target_inputs()]
        kernels = np.ascontiguousarray(weight.reshape(-1, 1, 1, 1, 1), np.float32)
        added = np.ascontiguousarray(bias.reshape(1, -1, 1, 1), np.float32)
        scaled = opset14.group_convolution(normed, kernels, [1, 1], [0, 0], [0, 0], [1, 1])
        made = opset14.add(scaled, added)
        if last is not shift:
            made = opset14.multiply(made, opset14.sigmoid(made))
        for user in users:
            user.replace_source_output(made.output(0))


def _scale_and_shift(shift: Any) -> tuple[Any, Array, Array] | None:
    """Of an addition that ends a group norm: what was normed, and weight and bias (C,)."""
    shape = shift.get_output_partial_shape(0) if shift.get_type_name() == "Add" else None
    if shape is None or shape.rank.is_dynamic or len(shape) != 4 or shape[1].is_dynamic:
        return None
    scale, bias = _source(shift, 0), _constant(_source(shift, 1))
    if scale.get_type_name() != "Multiply" or bias is None or len(_users(scale)) != 1:
        return None
    # A group norm ends with a reshape back to the picture's own shape.
    normed, weight = _source(scale, 0), _constant(_source(scale, 1))
    if weight is None or normed.get_type_name() != "Reshape":
        return None
    by_channel = (shape[1].get_length(), 1, 1)
    if any(x.shape[-3:] != by_channel or x.size != by_channel[0] for x in (weight, bias)):
        return None
    return normed.output(0), weight, bias


def _silu_after(node: Any) -> Any | None:
    """The product of a node and its own sigmoid, if nothing else uses the node."""
    users = {user.get_type_name(): user for user in _users(node)}
    if len(_users(node)) != 2 or {*users} != {"Sigmoid", "Multiply"}:
        return None
    product, sigmoid = users["Multiply"], users["Sigmoid"]
    names = {_source(product, i).get_friendly_name() for i in (0, 1)}
    own = {node.get_friendly_name(), sigmoid.get_friendly_name()}
    return product if names == own and len(_users(sigmoid)) == 1 else None


def _split_gates(model: Any) -> None:
    from openvino import opset14

    for split in model.get_ordered_ops():
        found = _gated_projection(split)
        if found is None:
            continue
        given, weights, bias = found
        half = len(weights) // 2
        for index, rows in enumerate((slice(0, half), slice(half, None))):
            kernel = opset14.constant(_shared(weights[rows]), shared_memory=True)
            product = opset14.matmul(given, kernel, False, True)
            made = opset14.add(product, np.ascontiguousarray(bias[rows]))
            for user in [*split.output(index).get_target_inputs()]:
                user.replace_source_output(made.output(0))


def _gated_projection(split: Any) -> tuple[Any, Array, Array] | None:
    """Of a split in two on the last axis of a projection: its input, weights (2 n, C), bias."""
    if split.get_type_name() != "Split" or split.get_output_size() != 2:
        return None
    axis, bias_added = _constant(_source(split, 1)), _source(split, 0)
    rank = split.get_output_partial_shape(0).rank
    if axis is None or rank.is_dynamic or int(axis) not in (-1, rank.get_length() - 1):
        return None
    if bias_added.get_type_name() != "Add" or len(_users(bias_added)) != 1:
        return None
    for one, other in ((0, 1), (1, 0)):
        product, bias = _source(bias_added, one), _constant(_source(bias_added, other))
        if product.get_type_name() == "MatMul" and bias is not None and len(_users(product)) == 1:
            weights = _weights_by_output(product)
            if weights is not None and bias.size == len(weights):
                return product.input_value(0), weights, bias.reshape(-1)
    return None


def _weights_by_output(product: Any) -> Array | None:
    """A projection's weights (outputs, inputs) in the file; None if they lie otherwise."""
    node, transposed = _source(product, 1), product.get_attributes()["transpose_b"]
    if node.get_type_name() == "Transpose":
        order = _constant(_source(node, 1))
        if order is None or [*order] != [1, 0]:
            return None
        node, transposed = _source(node, 0), not transposed
    if node.get_type_name() != "Constant" or not transposed or node.data.ndim != 2:
        return None
    weights: Array = node.data
    return weights


def _shared(part: Array) -> Array:
    """The same memory as one that may be written to, as OpenVINO asks of what it does not copy.

    It writes nothing. The memory lives as long as what is returned.
    """
    memory = (ctypes.c_char * part.nbytes).from_address(part.ctypes.data)
    memory.owner = part  # type: ignore[attr-defined]
    shared: Array = np.frombuffer(memoryview(memory), part.dtype).reshape(part.shape)
    return shared


def _source(node: Any, index: int) -> Any:
    return node.input_value(index).get_node()


def _users(node: Any) -> list[Any]:
    return [given.get_node() for given in node.output(0).get_target_inputs()]


def _constant(node: Any) -> Array | None:
    """The value of a constant, also where it is reshaped or given further axes; else None."""
    if node.get_type_name() == "Constant":
        value: Array = node.data
        return value
    if node.get_type_name() in ("Unsqueeze", "Reshape"):
        shape, value_of = node.get_output_partial_shape(0), _constant(_source(node, 0))
        if value_of is not None and shape.is_static:
            return value_of.reshape([*shape.to_shape()])
    return None


_OF_GRAPHS: Final[Mapping[GraphChange, Callable[[Any], None]]] = {
    "channel_convolutions": _convolve_channels,
    "split_gates": _split_gates,
}
