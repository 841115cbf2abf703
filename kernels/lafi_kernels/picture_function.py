"""`lafi_kernels.picture_attention` as an ONNX model-local function of standard operators."""

from typing import Final

import onnx
from onnx import FunctionProto

from lafi_kernels.onnx_function import DOMAIN, OPSET

OP_NAME: Final = "LafiPictureAttention"
INPUTS: Final = ("base", "q", "k", "v", "weights")

# Names in the body have a prefix, because an inliner may put several copies into one graph.
_BODY: Final = """
<opset_import: ["" : {opset}], domain: "{domain}">
{name} <heads> (base, q, k, v, weights) => (o)
{{
    lafip_sizes = Abs (weights)
    lafip_most = ReduceMax <keepdims = 0> (lafip_sizes)
    lafip_zero_f = Constant <value = float {{0.0}}> ()
    lafip_zero = CastLike (lafip_zero_f, lafip_most)
    lafip_used = Greater (lafip_most, lafip_zero)
    lafip_heads_0 = Constant <value_int: int = @heads> ()
    lafip_flat = Constant <value_ints = [-1]> ()
    lafip_heads = Reshape (lafip_heads_0, lafip_flat)
    o = If (lafip_used) <
        then_branch = lafip_with_pictures () => (lafip_then)
        {{
            lafip_keep2 = Constant <value_ints = [0, 0]> ()
            lafip_keep3 = Constant <value_ints = [0, 0, 0]> ()
            lafip_split = Concat <axis = 0> (lafip_keep2, lafip_heads, lafip_flat)
            lafip_merge = Concat <axis = 0> (lafip_keep2, lafip_flat)
            lafip_width = Shape <start = 2, end = 3> (q)
            lafip_head_width = Div (lafip_width, lafip_heads)
            lafip_head_width_f = CastLike (lafip_head_width, q)
            lafip_root = Sqrt (lafip_head_width_f)
            lafip_q_scaled = Div (q, lafip_root)
            lafip_q_split = Reshape (lafip_q_scaled, lafip_split)
            lafip_q_heads = Transpose <perm = [0, 2, 1, 3]> (lafip_q_split)
            lafip_row = Constant <value_ints = [0]> ()
            lafip_joined = Concat <axis = 0> (lafip_row, lafip_flat, lafip_width)
            lafip_k_joined = Reshape (k, lafip_joined)
            lafip_v_joined = Reshape (v, lafip_joined)
            lafip_k_split = Reshape (lafip_k_joined, lafip_split)
            lafip_v_split = Reshape (lafip_v_joined, lafip_split)
            lafip_k_heads = Transpose <perm = [0, 2, 3, 1]> (lafip_k_split)
            lafip_v_heads = Transpose <perm = [0, 2, 1, 3]> (lafip_v_split)
            lafip_logits = MatMul (lafip_q_heads, lafip_k_heads)
            lafip_length = Shape <start = 2, end = 3> (k)
            lafip_apart = Concat <axis = 0> (lafip_keep3, lafip_flat, lafip_length)
            lafip_together = Concat <axis = 0> (lafip_keep3, lafip_flat)
            lafip_logits_apart = Reshape (lafip_logits, lafip_apart)
            lafip_shares = Softmax <axis = -1> (lafip_logits_apart)
            lafip_weights_t = Transpose <perm = [0, 2, 1]> (weights)
            lafip_axes = Constant <value_ints = [1, 4]> ()
            lafip_weights_5d = Unsqueeze (lafip_weights_t, lafip_axes)
            lafip_weighed_apart = Mul (lafip_shares, lafip_weights_5d)
            lafip_weighed = Reshape (lafip_weighed_apart, lafip_together)
            lafip_context = MatMul (lafip_weighed, lafip_v_heads)
            lafip_context_t = Transpose <perm = [0, 2, 1, 3]> (lafip_context)
            lafip_added = Reshape (lafip_context_t, lafip_merge)
            lafip_then = Add (base, lafip_added)
        }},
        else_branch = lafip_without () => (lafip_else)
        {{
            lafip_else = Identity (base)
        }}
    >
}}
"""


def picture_attention_function() -> FunctionProto:
    """The function `lafi::LafiPictureAttention`: inputs as of `picture_attention`, one type.

    An `If` tests whether any weight is not 0; where all are 0, nothing but that is computed.
    """
    return onnx.parser.parse_function(_BODY.format(opset=OPSET, domain=DOMAIN, name=OP_NAME))
