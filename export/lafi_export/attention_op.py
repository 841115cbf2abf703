"""Exports each call of our torch operators to ONNX as one node, and puts their functions beside.

`lafi::LafiAttention` for `torch.ops.lafi.attention`, which `lafi_kernels.reference` registers, and
`lafi::LafiPictureAttention` for `torch.ops.lafi.picture_attention`.
"""

from collections.abc import Callable
from typing import Any, Final

import onnx
import torch
from onnx.defs import OpSchema
from onnxscript.values import Op, Opset

import lafi_kernels.picture_attention
import lafi_kernels.reference  # noqa: F401  (registers the operator)
from lafi_kernels import onnx_function, picture_function

_ATTENTION: Final = (onnx_function.DOMAIN, onnx_function.OP_NAME)
_BODIES: Final = {
    onnx_function.OP_NAME: onnx_function.attention_function,
    picture_function.OP_NAME: picture_function.picture_attention_function,
}


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """For `torch.onnx.export(custom_translation_table=...)`: maps the ops to their ONNX nodes."""
    opset = Opset(onnx_function.DOMAIN, onnx_function.DOMAIN_VERSION)
    node: Callable[..., Any] = Op(opset, onnx_function.OP_NAME, _schema())
    of_pictures: Callable[..., Any] = Op(opset, picture_function.OP_NAME, _schema_of_pictures())

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

    def translate_pictures(base: Any, q: Any, k: Any, v: Any, weights: Any, heads: int) -> Any:
        return of_pictures(base, q, k, v, weights, heads=heads)

    return {
        torch.ops.lafi.attention.default: translate,
        torch.ops.lafi.picture_attention.default: translate_pictures,
    }


def with_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with the bodies of our ops that it has nodes of, changed in place."""
    used = {node.op_type for node in model.graph.node if node.domain == onnx_function.DOMAIN}
    others = [f for f in model.functions if f.domain != onnx_function.DOMAIN]
    del model.functions[:]
    model.functions.extend([*others, *(body() for name, body in _BODIES.items() if name in used)])
    return model


def with_attention_function(model: onnx.ModelProto, body: onnx.FunctionProto) -> onnx.ModelProto:
    """The same model with this body of `lafi::LafiAttention`; its nodes do not change."""
    others = [f for f in model.functions if (f.domain, f.name) != _ATTENTION]
    del model.functions[:]
    model.functions.extend([*others, body])
    return model


def _schema_of_pictures() -> OpSchema:
    return OpSchema(
        picture_function.OP_NAME,
        onnx_function.DOMAIN,
        onnx_function.DOMAIN_VERSION,
        inputs=[OpSchema.FormalParameter(name, "T") for name in picture_function.INPUTS],
        outputs=[OpSchema.FormalParameter("o", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "all alike")],
        attributes=[OpSchema.Attribute("heads", OpSchema.AttrType.INT, required=True)],
    )


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
