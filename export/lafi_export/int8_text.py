"""Text encoders with 8-bit weights: large matrices as int8, with a scale for each output channel.

Computes in float32 as before: the graph turns the weights back where it reads them, with standard
operators. Knows exported ONNX files, not the networks in them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from lafi.model.artifacts import WEIGHTS
from lafi_export.weights_file import TensorLayout, tensor_places, write_weights

INT8_TEXT: Final = f"{WEIGHTS}/text_int8.safetensors"
"""The file of all weights of such a text encoder, beside its graph."""
_LARGE: Final = 2**12
"""Numbers; smaller matrices stay float32: they hardly count, and T5's biases would suffer."""
_MOST: Final = 127
_ROWS, _SCALES = ".int8", ".scale"
_ONNX_TYPES: Final = {"F32": TensorProto.FLOAT, "I8": TensorProto.INT8}


class Int8Rows(NamedTuple):
    """A matrix as int8 (N, M) and a scale for each row (N,), float32."""

    rows: Tensor
    scales: Tensor


def int8_rows(matrix: Tensor) -> Int8Rows:
    """matrix (N, M), float32 -> its nearest int8 numbers: the largest of a row becomes 127."""
    scales = matrix.abs().amax(dim=1) / _MOST
    scales = torch.where(scales > 0, scales, 1.0)
    rows = torch.round(matrix / scales[:, None]).clamp(-_MOST, _MOST)
    return Int8Rows(rows.to(torch.int8), scales)


def write_int8_text(path: Path) -> str:
    """Rewrites an exported text encoder, and writes its weights into INT8_TEXT beside it.

    Files with its float32 weights stay as they are. Returns INT8_TEXT.
    """
    model = onnx.load(path, load_external_data=False)
    folder = str(path.parent)
    stored = {t.name: t for t in model.graph.initializer if t.external_data}
    large = _readers(model, stored)
    layouts = {
        name: TensorLayout("F32", tuple(t.dims)) for name, t in stored.items() if name not in large
    }
    # Floats stand before bytes, so that each begins at a multiple of its size.
    for name in large:
        layouts[f"{name}{_SCALES}"] = TensorLayout("F32", (stored[name].dims[0],))
    for name in large:
        layouts[f"{name}{_ROWS}"] = TensorLayout("I8", tuple(stored[name].dims))

    def read(name: str) -> Tensor:
        values: npt.NDArray[Any] = numpy_helper.to_array(stored[name], base_dir=folder)
        return torch.from_numpy(values.astype(np.float32))

    def written(name: str) -> Tensor:
        for suffix, place in ((_ROWS, 0), (_SCALES, 1)):
            matrix = name.removesuffix(suffix)
            if matrix != name and matrix in large:
                return int8_rows(read(matrix))[place]
        return read(name)

    write_weights(path.parent / INT8_TEXT, layouts, written)
    _point_to_file(model, stored, layouts, path.parent)
    _turn_back(model, large)
    onnx.save(model, path)
    # By its path, since the checker looks for the file as well.
    onnx.checker.check_model(path, full_check=True)
    return INT8_TEXT


def _readers(
    model: ModelProto, stored: Mapping[str, TensorProto]
) -> dict[str, Sequence[NodeProto]]:
    """Large matrices whose every reader has its way of turning them back -> these nodes."""
    nodes: dict[str, list[NodeProto]] = {
        name: []
        for name, tensor in stored.items()
        if len(tensor.dims) == 2 and tensor.dims[0] * tensor.dims[1] >= _LARGE
    }
    for node in model.graph.node:
        for name in {*node.input} & nodes.keys():
            nodes[name].append(node)
    return {name: readers for name, readers in nodes.items() if all(map(_can_turn_back, readers))}


def _can_turn_back(node: NodeProto) -> bool:
    """Whether it swaps the sides of a matrix, or picks rows of it."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Gather":
        return bool(given.get("axis", 0) == 0)
    return node.op_type == "Transpose" and given.get("perm") == [1, 0]


def _point_to_file(
    model: ModelProto,
    stored: Mapping[str, TensorProto],
    layouts: Mapping[str, TensorLayout],
    folder: Path,
) -> None:
    """Replaces the weights that lie outside the graph by those of the new file."""
    places = tensor_places(folder / INT8_TEXT)
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in stored]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for name, layout in layouts.items():
        tensor = TensorProto(
            name=name,
            data_type=_ONNX_TYPES[layout.dtype],
            dims=layout.shape,
            data_location=TensorProto.EXTERNAL,
        )
        place = places[name]
        for key, value in (
            ("location", INT8_TEXT),
            ("offset", place.offset),
            ("length", place.length),
        ):
            tensor.external_data.add(key=key, value=str(value))
        model.graph.initializer.append(tensor)


def _turn_back(model: ModelProto, large: Mapping[str, Sequence[NodeProto]]) -> None:
    """Nodes that make float32 of int8, behind those that read it: no copy of a whole table."""
    made: list[NodeProto] = []
    for node in model.graph.node:
        name = node.input[0] if node.input else ""
        made += _FORMS[node.op_type](node, name) if name in large else [node]
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in made]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _swapped(node: NodeProto, name: str) -> list[NodeProto]:
    """Sides swapped as int8, which runtimes do once, then turned back by column."""
    whole, rows = node.output[0], f"{node.output[0]}{_ROWS}"
    swap = helper.make_node("Transpose", [f"{name}{_ROWS}"], [rows], f"{whole}_swap", perm=[1, 0])
    back = helper.make_node(
        "DequantizeLinear", [rows, f"{name}{_SCALES}"], [whole], f"{whole}_back", axis=1
    )
    return [swap, back]


def _picked(node: NodeProto, name: str) -> list[NodeProto]:
    """Rows picked as int8, and their scales, then multiplied."""
    whole, ids = node.output[0], node.input[1]
    rows, values, scales = (f"{whole}{end}" for end in (_ROWS, ".values", _SCALES))
    last, columns = f"{whole}.last", f"{whole}.columns"
    return [
        helper.make_node("Gather", [f"{name}{_ROWS}", ids], [rows], f"{whole}_rows", axis=0),
        helper.make_node("Cast", [rows], [values], f"{whole}_values", to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{name}{_SCALES}", ids], [scales], f"{whole}_scales", axis=0),
        helper.make_node(
            "Constant", [], [last], f"{whole}_last", value=numpy_helper.from_array(np.array([-1]))
        ),
        helper.make_node("Unsqueeze", [scales, last], [columns], f"{whole}_columns"),
        helper.make_node("Mul", [values, columns], [whole], f"{whole}_back"),
    ]


_FORMS: Final[Mapping[str, Callable[[NodeProto, str], list[NodeProto]]]] = {
    "Transpose": _swapped,
    "Gather": _picked,
}
