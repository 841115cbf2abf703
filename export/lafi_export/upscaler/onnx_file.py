"""A network as an ONNX file with free batch, height and width, its weights inside.

Weights that are float16 numbers, as those of most published files are, are kept as such and cast
to float32 where they are used; runtimes do so once, when they load the file. Nothing is rounded.
"""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.export import Dim

from lafi.engine.onnx.upscaler import GIVEN, MADE
from lafi_export.onnx_export import expected_warnings, without_metadata

SMALLEST: Final = 1024
"""Tensors of fewer elements stay as they are."""


def write_network(network: nn.Module, path: Path) -> None:
    """network: (B, 3, H, W) -> (B, 3, f * H, f * W); the file calls them GIVEN and MADE."""
    free = {0: Dim("batch", max=63), 2: Dim("height"), 3: Dim("width")}
    with expected_warnings(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 3, 12, 20),),
            input_names=[GIVEN],
            output_names=[MADE],
            dynamic_shapes=(free,),
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = without_metadata(program.model_proto)
    del model.graph.value_info[:]
    _shorten(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _shorten(model: ModelProto) -> None:
    """Weights that float16 holds exactly become float16, with a Cast behind; in place."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
