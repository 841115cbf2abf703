"""The attention op as an ONNX model-local function whose body is standard operators.

Any runtime that inlines local functions can run it; a runtime with a kernel of the same
name may put that in its place. Knows tensors and ONNX, not layers and not storyboards.
"""

from typing import Final

import onnx
from onnx import FunctionProto

DOMAIN: Final = "lafi"
OP_NAME: Final = "LafiAttention"
DOMAIN_VERSION: Final = 1
OPSET: Final = 18
"""Version of the standard operators in the body; a model that uses it imports the same."""

INPUTS: Final = (
    "q",
    "k",
    "v",
    "bank_k",
    "bank_v",
    "routes",
    "bias",
    "mask",
    "bank_mask",
    "region",
)

EXCLUDED: Final = -30000.0
"""Logit offset of a token that is not read: finite in fp16 and bf16, and exp(it) is 0."""

# Body values carry a prefix, because an inliner may meet several copies in one graph.
# The last value of the concatenated routes is -1, so that R = 0 has a maximum as well.
_BODY: Final = """
<opset_import: ["" : {opset}], domain: "{domain}">
{name} <heads> (q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region) => (o)
{{
    lafi_heads = Constant <value_int: int = @heads> ()
    lafi_axis0 = Constant <value_ints = [0]> ()
    lafi_axis1 = Constant <value_ints = [1]> ()
    lafi_flat = Constant <value_ints = [-1]> ()
    lafi_keep2 = Constant <value_ints = [0, 0]> ()
    lafi_heads1 = Reshape (lafi_heads, lafi_flat)
    lafi_split = Concat <axis = 0> (lafi_keep2, lafi_heads1, lafi_flat)
    lafi_merge = Concat <axis = 0> (lafi_keep2, lafi_flat)
    lafi_width = Shape <start = 2, end = 3> (q)
    lafi_head_width = Div (lafi_width, lafi_heads1)
    lafi_head_width_f = CastLike (lafi_head_width, q)
    lafi_root = Sqrt (lafi_head_width_f)
    lafi_q_scaled = Div (q, lafi_root)
    lafi_q_split = Reshape (lafi_q_scaled, lafi_split)
    lafi_q_heads = Transpose <perm = [0, 2, 1, 3]> (lafi_q_split)

    lafi_none = Constant <value = int32[1] {{-1}}> ()
    lafi_routes_flat = Reshape (routes, lafi_flat)
    lafi_routes_any = Concat <axis = 0> (lafi_routes_flat, lafi_none)
    lafi_routes_max = ReduceMax <keepdims = 0> (lafi_routes_any)
    lafi_zero = Constant <value = int32 {{0}}> ()
    lafi_routed = GreaterOrEqual (lafi_routes_max, lafi_zero)

    lafi_context = If (lafi_routed) <
        then_branch = lafi_with_references () => (lafi_context_then)
        {{
            lafi_pool_k = Concat <axis = 0> (k, bank_k)
            lafi_pool_v = Concat <axis = 0> (v, bank_v)
            lafi_pool_mask = Concat <axis = 0> (mask, bank_mask)
            lafi_index = Max (routes, lafi_zero)
            lafi_joined = Concat <axis = 0> (lafi_axis0, lafi_flat, lafi_width)
            lafi_ref_k4 = Gather <axis = 0> (lafi_pool_k, lafi_index)
            lafi_ref_v4 = Gather <axis = 0> (lafi_pool_v, lafi_index)
            lafi_ref_k = Reshape (lafi_ref_k4, lafi_joined)
            lafi_ref_v = Reshape (lafi_ref_v4, lafi_joined)
            lafi_all_k = Concat <axis = 1> (k, lafi_ref_k)
            lafi_all_v = Concat <axis = 1> (v, lafi_ref_v)

            lafi_excluded32 = Constant <value = float {{{excluded}}}> ()
            lafi_excluded = CastLike (lafi_excluded32, q)
            lafi_zero_q = CastLike (lafi_zero, q)
            lafi_axis2 = Constant <value_ints = [2]> ()
            lafi_axis3 = Constant <value_ints = [3]> ()
            lafi_axes23 = Constant <value_ints = [2, 3]> ()
            lafi_ref_mask = Gather <axis = 0> (lafi_pool_mask, lafi_index)
            lafi_mask_on = Greater (lafi_ref_mask, lafi_zero_q)
            lafi_mask_raw = Log (lafi_ref_mask)
            lafi_mask_log = Where (lafi_mask_on, lafi_mask_raw, lafi_excluded)
            lafi_mask_4d = Unsqueeze (lafi_mask_log, lafi_axis2)
            lafi_region_on = Greater (region, lafi_zero_q)
            lafi_region_raw = Log (region)
            lafi_region_log = Where (lafi_region_on, lafi_region_raw, lafi_excluded)
            lafi_region_4d = Unsqueeze (lafi_region_log, lafi_axis3)
            lafi_route_on = GreaterOrEqual (routes, lafi_zero)
            lafi_route_bias = Where (lafi_route_on, bias, lafi_excluded)
            lafi_bias_4d = Unsqueeze (lafi_route_bias, lafi_axes23)
            lafi_query_offset = Add (lafi_region_4d, lafi_bias_4d)
            lafi_offset_raw = Add (lafi_query_offset, lafi_mask_4d)
            lafi_offset = Max (lafi_offset_raw, lafi_excluded)
            lafi_offset_t = Transpose <perm = [0, 2, 1, 3]> (lafi_offset)
            lafi_ref_offset = Reshape (lafi_offset_t, lafi_merge)
            lafi_own_length = Shape <start = 1, end = 2> (k)
            lafi_own_shape_q = Shape <start = 0, end = 2> (q)
            lafi_own_shape = Concat <axis = 0> (lafi_own_shape_q, lafi_own_length)
            lafi_own_offset = Expand (lafi_zero_q, lafi_own_shape)
            lafi_all_offset3 = Concat <axis = 2> (lafi_own_offset, lafi_ref_offset)
            lafi_all_offset = Unsqueeze (lafi_all_offset3, lafi_axis1)

            lafi_all_k_split = Reshape (lafi_all_k, lafi_split)
            lafi_all_v_split = Reshape (lafi_all_v, lafi_split)
            lafi_all_k_heads = Transpose <perm = [0, 2, 3, 1]> (lafi_all_k_split)
            lafi_all_v_heads = Transpose <perm = [0, 2, 1, 3]> (lafi_all_v_split)
            lafi_all_scores = MatMul (lafi_q_heads, lafi_all_k_heads)
            lafi_all_logits = Add (lafi_all_scores, lafi_all_offset)
            lafi_all_weights = Softmax <axis = -1> (lafi_all_logits)
            lafi_context_then = MatMul (lafi_all_weights, lafi_all_v_heads)
        }},
        else_branch = lafi_plain () => (lafi_context_else)
        {{
            lafi_k_split = Reshape (k, lafi_split)
            lafi_v_split = Reshape (v, lafi_split)
            lafi_k_heads = Transpose <perm = [0, 2, 3, 1]> (lafi_k_split)
            lafi_v_heads = Transpose <perm = [0, 2, 1, 3]> (lafi_v_split)
            lafi_scores = MatMul (lafi_q_heads, lafi_k_heads)
            lafi_weights = Softmax <axis = -1> (lafi_scores)
            lafi_context_else = MatMul (lafi_weights, lafi_v_heads)
        }}
    >
    lafi_context_t = Transpose <perm = [0, 2, 1, 3]> (lafi_context)
    o = Reshape (lafi_context_t, lafi_merge)
}}
"""


def attention_function() -> FunctionProto:
    """The function `lafi::LafiAttention`: the op of `lafi_kernels.reference` in standard ops.

    Inputs, floating types all alike: q, k, v (B, S, C); bank_k, bank_v (M, S, C), M may be 0;
    routes (B, R) int32; bias (B, R); mask (B, S); bank_mask (M, S); region (B, R, S).
    Attribute `heads` divides C. Output o (B, S, C). A batch in which no row routes anywhere
    takes the plain branch; otherwise a row that routes nowhere reads references at weight 0.
    """
    text = _BODY.format(opset=OPSET, domain=DOMAIN, name=OP_NAME, excluded=EXCLUDED)
    return onnx.parser.parse_function(text)
