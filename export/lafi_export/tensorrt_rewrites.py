"""Two things that torch's exporter writes in many nodes become one: group normalisation, and the
transposed keys of an attention. Both ask for the shape of a picture and need none.

Knows graphs, not TensorRT.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnxscript import ir
from onnxscript.rewriter import pattern

OPSET: Final = 21
"""The first with a `GroupNormalization` whose weights belong to channels."""


def join_nodes(model: ir.Model) -> int:
    """Do so in place; returns how many there were. The model imports OPSET or a newer one.

    Values of a normalisation may differ by rounding, since its sums come in another order.
    """
    rules = [
        pattern.RewriteRule(_normalisation, _one_normalisation, _is_of_groups),
        pattern.RewriteRule(_transposition, _one_transposition, _is_of_last_axes),
    ]
    return int(pattern.RewriteRuleSet(rules).apply_to_model(model))


def _normalisation(
    op: Any, x: Any, grouped: Any, ones: Any, zeros: Any, whole: Any, weight: Any, bias: Any,
    weight_axes: Any, bias_axes: Any,
) -> Any:  # fmt: skip
    """Instance normalisation of groups, then weights of channels."""
    normal = op.InstanceNormalization(
        op.Reshape(x, grouped), ones, zeros, _outputs=["normal"], _allow_other_attributes=True
    )
    scaled = op.Mul(op.Reshape(normal, whole), op.Unsqueeze(weight, weight_axes))
    return op.Add(scaled, op.Unsqueeze(bias, bias_axes), _outputs=["y"])


def _is_of_groups(
    context: Any,
    x: ir.Value,
    y: ir.Value,
    grouped: ir.Value,
    ones: ir.Value,
    zeros: ir.Value,
    **_: Any,
) -> bool:
    """No weights of its own, and the shape that comes out is the one that went in."""
    shape, scale, offset = (_numbers(value) for value in (grouped, ones, zeros))
    if shape is None or scale is None or offset is None or x.shape is None:
        return False
    by_groups = len(shape) == 3 and shape[0] == 0 and shape[2] == -1
    return by_groups and bool((scale == 1).all() and (offset == 0).all()) and x.shape == y.shape


def _one_normalisation(
    op: Any, x: Any, grouped: ir.Value, weight: Any, bias: Any, normal: ir.Value, **_: Any
) -> Any:
    groups, node = _numbers(grouped), normal.producer()
    assert groups is not None
    assert node is not None
    return op.GroupNormalization(
        x, weight, bias, num_groups=int(groups[1]), epsilon=node.attributes["epsilon"].as_float()
    )


def _transposition(
    op: Any, x: Any, last: Any, end: Any, second: Any, first: Any, joined: Any
) -> Any:
    """The last two axes change places, with all others joined for that time."""
    shape = op.Shape(x, _allow_other_attributes=True)
    width, height = op.Slice(shape, last, end), op.Slice(shape, second, last)
    front = op.Slice(shape, first, second)
    flat = op.Reshape(x, op.Concat(joined, height, width), _allow_other_attributes=True)
    turned = op.Transpose(flat, perm=[0, 2, 1])
    whole = op.Concat(front, width, height)
    return op.Reshape(turned, whole, _allow_other_attributes=True)


def _is_of_last_axes(
    context: Any, x: ir.Value, last: ir.Value, second: ir.Value, joined: ir.Value, **_: Any
) -> bool:
    wanted = ((last, -1), (second, -2), (joined, -1))
    numbers = [(_numbers(value), number) for value, number in wanted]
    return x.shape is not None and all(
        got is not None and got.tolist() == [number] for got, number in numbers
    )


def _one_transposition(op: Any, x: ir.Value, **_: Any) -> Any:
    assert x.shape is not None
    rank = len(x.shape)
    return op.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])


def _numbers(value: ir.Value) -> npt.NDArray[Any] | None:
    kept = value.const_value
    if kept is None or isinstance(kept, ir.ExternalTensor):
        return None
    return np.asarray(kept.numpy())
