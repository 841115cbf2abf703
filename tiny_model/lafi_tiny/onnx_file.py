"""Trained networks as ONNX files: traced, their weights in float16, and described."""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

SMALLEST = 1024
"""Tensors below this many elements stay in float32."""


def describe_file(path: Path) -> dict[str, Any]:
    """SHA-256 and size in bytes."""
    data = path.read_bytes()
    return {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def trace_to_onnx(
    network: nn.Module,
    given: str,
    example: Tensor,
    path: Path,
    *,
    made: str = "embedding",
    half: bool = True,
) -> None:
    """A network of one input `given` (B, ...) -> `made` (B, 128); weights kept in float16.

    Each float16 weight is cast to float32 where it is used, which engines do once, when
    they load the graph. So only the weights are rounded, never what is computed. Without
    `half` they stay in float32.
    """
    with warnings.catch_warnings():
        # torch.export warns of itself.
        warnings.filterwarnings(
            "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
        )
        program = torch.onnx.export(
            network.eval(),
            (example,),
            input_names=[given],
            output_names=[made],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    if half:
        _halve(model)
    _strip(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _halve(model: onnx.ModelProto) -> None:
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST:
            continue
        name = tensor.name
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, name + ".half"))
        casts.append(
            helper.make_node("Cast", [name + ".half"], [name], name + ".cast", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes on where each node came from, a third of the file."""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def open_onnx(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """The file in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
