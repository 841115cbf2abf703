"""Exports each call of `torch.ops.lafi.attention` to ONNX as one `lafi::LafiAttention` node.

The torch operator itself is registered by `lafi_kernels.reference`.
"""

from collections.abc import Callable
from typing import Any, Final

import onnx
import torch
from onnx.defs import OpSchema
from onnxscript.values import Op, Opset

import lafi_kernels.reference  # noqa: F401  (registers the operator)
from lafi_kernels import onnx_function

_ATTENTION: Final = (onnx_function.DOMAIN, onnx_function.OP_NAME)


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """For `torch.onnx.export(custom_translation_table=...)`: maps the op to its ONNX node."""
    opset = Opset(onnx_function.DOMAIN, onnx_function.DOMAIN_VERSION)
    node: Callable[..., Any] = Op(opset, onnx_function.OP_NAME, _schema())

    # The exporter matches arguments by these names and does not support *args.
    def translate(
        q: Any,
        k: Any,
        v: Any,
        bank_k: Any,
        bank_v: Any,
        routes: Any,
        bias: Any,
        mask: Any,
        bank_mask: Any,
        region: Any,
        heads: int,
    ) -> Any:
        tensors = (q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region)
        return node(*tensors, heads=heads)

    return {torch.ops.lafi.attention.default: translate}


def with_attention_function(model: onnx.ModelProto, body: onnx.FunctionProto) -> onnx.ModelProto:
    """The same model with this body of `lafi::LafiAttention`; its nodes do not change."""
    others = [f for f in model.functions if (f.domain, f.name) != _ATTENTION]
    del model.functions[:]
    model.functions.extend([*others, body])
    return model


def _schema() -> OpSchema:
    inputs = [
        OpSchema.FormalParameter(name, "tensor(int32)" if name == "routes" else "T")
        for name in onnx_function.INPUTS
    ]
    return OpSchema(
        onnx_function.OP_NAME,
        onnx_function.DOMAIN,
        onnx_function.DOMAIN_VERSION,
        inputs=inputs,
        outputs=[OpSchema.FormalParameter("o", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "all but the routes")],
        attributes=[OpSchema.Attribute("heads", OpSchema.AttrType.INT, required=True)],
    )
