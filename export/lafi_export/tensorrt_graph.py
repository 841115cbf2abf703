"""An exported ONNX file becomes one that TensorRT is given: precision, names, the plugin's node.

Knows ONNX files and the names that TensorRT's parser looks for; calls no TensorRT.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lafi_export.tensorrt_precision import to_half
from lafi_export.tensorrt_simplify import simplified
from lafi_kernels import onnx_function

GpuPrecision = Literal["f16", "bf16", "f32"]

INLINE_BYTES: Final = 2**30
"""Weights beyond this lie in a file beside the graph; a protobuf message ends at 2 GiB."""
PLUGIN_VERSION: Final = "1"
"""The version that `tensorrt.plugin.register` gives every plugin."""


class GraphError(ValueError):
    """A graph that does not have what is asked of it."""


@dataclass(frozen=True, slots=True)
class GraphChange:
    """What to change in one exported graph.

    precision: of weights and values; inputs and outputs stay as they are.
    names: inputs and outputs to rename, from exported to served.
    plugin: attention nodes ask for the plugin; without, they are their function's body.
    exact_inputs: inputs that half precision would spoil.
    """

    precision: GpuPrecision = "f16"
    names: Mapping[str, str] = field(default_factory=dict)
    plugin: bool = True
    exact_inputs: tuple[str, ...] = ()


def write_graph(source: Path, target: Path, change: GraphChange) -> int:
    """Write the changed graph and return how many attention nodes it has.

    Weights are read one by one from wherever the source keeps them, so that memory holds only
    the changed ones. Raises GraphError and PrecisionError.
    """
    model = onnx.load(source, load_external_data=False)
    folder = str(source.parent)
    count = len(attention_nodes(model))
    # A CUDA graph holds no branch, so the body has none, and is what runs without the plugin.
    model = simplified(model, source.parent, inline=not change.plugin)

    def read(tensor: TensorProto) -> npt.NDArray[Any]:
        return numpy_helper.to_array(tensor, folder)

    if change.precision != "f32":
        to_half(model, exact_inputs=change.exact_inputs, read=read, precision=change.precision)
    _take_in(model, folder)
    rename(model, change.names)
    if change.plugin:
        ask_for_plugin(attention_nodes(model))
    for node in model.graph.node:
        # TensorRT names layers after nodes, and wants each name once, as values' names are.
        node.name = next(name for name in node.output if name)
    _save(model, target)
    return count


def attention_nodes(model: ModelProto) -> list[NodeProto]:
    """The nodes of the attention op."""
    wanted = (onnx_function.DOMAIN, onnx_function.OP_NAME)
    return [node for node in model.graph.node if (node.domain, node.op_type) == wanted]


def ask_for_plugin(nodes: Iterable[NodeProto]) -> None:
    """Give every attention node the attributes by which TensorRT finds the plugin, in place.

    Without them the parser takes the function's body and says nothing.
    """
    wanted = {"plugin_namespace": onnx_function.DOMAIN, "plugin_version": PLUGIN_VERSION}
    for node in nodes:
        kept = [attribute for attribute in node.attribute if attribute.name not in wanted]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in wanted.items())


def rename(model: ModelProto, names: Mapping[str, str]) -> None:
    """Rename inputs and outputs of the graph, in place. Raises GraphError for one it lacks."""
    graph = model.graph
    there = {value.name for value in (*graph.input, *graph.output)}
    missing = sorted(set(names) - there)
    if missing:
        raise GraphError(f"names: got {', '.join(missing)}, allowed {', '.join(sorted(there))}")
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _take_in(model: ModelProto, folder: str) -> None:
    """Weights that were not converted come into the model too, since it moves elsewhere."""
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            values = numpy_helper.to_array(tensor, folder)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _save(model: ModelProto, target: Path) -> None:
    size = sum(_bytes(tensor) for tensor in model.graph.initializer)
    if size <= INLINE_BYTES:
        onnx.save(model, target)
        return
    data = target.with_name(f"{target.name}.data")
    data.unlink(missing_ok=True)  # onnx appends
    onnx.save(model, target, save_as_external_data=True, location=data.name, size_threshold=1024)


def _bytes(tensor: TensorProto) -> int:
    itemsize = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    return int(np.prod(tensor.dims, dtype=np.int64)) * itemsize
