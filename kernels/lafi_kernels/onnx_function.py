"""The attention op as an ONNX model-local function whose body is standard operators.

Any runtime that inlines local functions can run it. A runtime with a kernel of the same name may
use that instead. Knows tensors and ONNX, not layers or storyboards.
"""

from typing import Final

import onnx
from onnx import FunctionProto

DOMAIN: Final = "lafi"
OP_NAME: Final = "LafiAttention"
DOMAIN_VERSION: Final = 1
OPSET: Final = 18
"""Version of the standard operators in the body; a model with the function imports the same."""
OPERATOR_OPSET: Final = 23
"""The same for the body with the standard operator `Attention`, which is that old."""

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
"""Logit offset of an excluded token: finite in fp16 and bf16, and its exp is 0."""

# Names in the body have a prefix, because an inliner may put several copies into one graph.
_HEAD: Final = """
<opset_import: ["" : {opset}], domain: "{domain}">
{name} <heads> (q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region) => (o)
{{
    lafi_axis1 = Constant <value_ints = [1]> ()
    lafi_flat = Constant <value_ints = [-1]> ()
    lafi_keep2 = Constant <value_ints = [0, 0]> ()
    lafi_merge = Concat <axis = 0> (lafi_keep2, lafi_flat)
    lafi_width = Shape <start = 2, end = 3> (q)
    lafi_zero = Constant <value = int32 {{0}}> ()
    lafi_heads = Constant <value_int: int = @heads> ()
    lafi_heads1 = Reshape (lafi_heads, lafi_flat)
    lafi_split = Concat <axis = 0> (lafi_keep2, lafi_heads1, lafi_flat)
"""

_QUERIES: Final = """
    lafi_head_width = Div (lafi_width, lafi_heads1)
    lafi_head_width_f = CastLike (lafi_head_width, q)
    lafi_root = Sqrt (lafi_head_width_f)
    lafi_q_scaled = Div (q, lafi_root)
    lafi_q_split = Reshape (lafi_q_scaled, lafi_split)
    lafi_q_heads = Transpose <perm = [0, 2, 1, 3]> (lafi_q_split)
"""

# A row's own tokens are its slot 0, with weight 1 and bias 0, so that one Gather collects all keys
# of a row. Rows and bank entries are padded to the longer of the two, with weight 0.
_GATHERED: Final = """
    lafi_shape_rows = Shape <start = 0, end = 1> (q)
    lafi_own_length = Shape <start = 1, end = 2> (k)
    lafi_bank_length = Shape <start = 1, end = 2> (bank_k)
    lafi_length = Max (lafi_own_length, lafi_bank_length)
    lafi_own_missing = Sub (lafi_length, lafi_own_length)
    lafi_bank_missing = Sub (lafi_length, lafi_bank_length)
    lafi_pad_axis0 = Constant <value_ints = [0]> ()
    lafi_own_pads = Concat <axis = 0> (lafi_pad_axis0, lafi_own_missing)
    lafi_bank_pads = Concat <axis = 0> (lafi_pad_axis0, lafi_bank_missing)
    lafi_zero_q = CastLike (lafi_zero, q)
    lafi_own_k = Pad (k, lafi_own_pads, lafi_zero_q, lafi_axis1)
    lafi_own_v = Pad (v, lafi_own_pads, lafi_zero_q, lafi_axis1)
    lafi_own_mask = Pad (mask, lafi_own_pads, lafi_zero_q, lafi_axis1)
    lafi_kept_k = Pad (bank_k, lafi_bank_pads, lafi_zero_q, lafi_axis1)
    lafi_kept_v = Pad (bank_v, lafi_bank_pads, lafi_zero_q, lafi_axis1)
    lafi_kept_mask = Pad (bank_mask, lafi_bank_pads, lafi_zero_q, lafi_axis1)
    lafi_pool_k = Concat <axis = 0> (lafi_own_k, lafi_kept_k)
    lafi_pool_v = Concat <axis = 0> (lafi_own_v, lafi_kept_v)
    lafi_pool_mask = Concat <axis = 0> (lafi_own_mask, lafi_kept_mask)

    lafi_first = Constant <value_int = 0> ()
    lafi_step = Constant <value_int = 1> ()
    lafi_rows = Squeeze (lafi_shape_rows)
    lafi_row_range = Range (lafi_first, lafi_rows, lafi_step)
    lafi_row_index = Unsqueeze (lafi_row_range, lafi_axis1)
    lafi_source32 = Max (routes, lafi_zero)
    lafi_source = CastLike (lafi_source32, lafi_first)
    lafi_index = Concat <axis = 1> (lafi_row_index, lafi_source)
    lafi_joined = Concat <axis = 0> (lafi_pad_axis0, lafi_flat, lafi_width)
    lafi_all_k4 = Gather <axis = 0> (lafi_pool_k, lafi_index)
    lafi_all_v4 = Gather <axis = 0> (lafi_pool_v, lafi_index)
    lafi_all_k = Reshape (lafi_all_k4, lafi_joined)
    lafi_all_v = Reshape (lafi_all_v4, lafi_joined)

    lafi_excluded32 = Constant <value = float {{{excluded}}}> ()
    lafi_excluded = CastLike (lafi_excluded32, q)
    lafi_one_q = CastLike (lafi_step, q)
    lafi_axis2 = Constant <value_ints = [2]> ()
    lafi_axis3 = Constant <value_ints = [3]> ()
    lafi_axes23 = Constant <value_ints = [2, 3]> ()
    lafi_own_shape = Concat <axis = 0> (lafi_shape_rows, lafi_axis1, lafi_own_length)
    lafi_own_ones = Expand (lafi_one_q, lafi_own_shape)
    lafi_own_weight = Pad (lafi_own_ones, lafi_own_pads, lafi_zero_q, lafi_axis2)
    lafi_ref_weight = Gather <axis = 0> (lafi_pool_mask, lafi_source)
    lafi_weight = Concat <axis = 1> (lafi_own_weight, lafi_ref_weight)
    lafi_weight_on = Greater (lafi_weight, lafi_zero_q)
    lafi_weight_raw = Log (lafi_weight)
    lafi_weight_log = Where (lafi_weight_on, lafi_weight_raw, lafi_excluded)
    lafi_weight_4d = Unsqueeze (lafi_weight_log, lafi_axis2)
    lafi_all_region = Concat <axis = 1> (lafi_own_ones, region)
    lafi_region_on = Greater (lafi_all_region, lafi_zero_q)
    lafi_region_raw = Log (lafi_all_region)
    lafi_region_log = Where (lafi_region_on, lafi_region_raw, lafi_excluded)
    lafi_region_4d = Unsqueeze (lafi_region_log, lafi_axis3)
    lafi_route_on = GreaterOrEqual (routes, lafi_zero)
    lafi_route_bias = Where (lafi_route_on, bias, lafi_excluded)
    lafi_bias_shape = Concat <axis = 0> (lafi_shape_rows, lafi_axis1)
    lafi_own_bias = Expand (lafi_zero_q, lafi_bias_shape)
    lafi_all_bias = Concat <axis = 1> (lafi_own_bias, lafi_route_bias)
    lafi_bias_4d = Unsqueeze (lafi_all_bias, lafi_axes23)
    lafi_query_offset = Add (lafi_region_4d, lafi_bias_4d)
    lafi_offset_raw = Add (lafi_query_offset, lafi_weight_4d)
    lafi_offset_slots = Max (lafi_offset_raw, lafi_excluded)
    lafi_offset_t = Transpose <perm = [0, 2, 1, 3]> (lafi_offset_slots)
    lafi_offset3 = Reshape (lafi_offset_t, lafi_merge)
    lafi_offset = Unsqueeze (lafi_offset3, lafi_axis1)
"""

_WITH_REFERENCES: Final = (
    _GATHERED
    + """
    lafi_all_k_split = Reshape (lafi_all_k, lafi_split)
    lafi_all_v_split = Reshape (lafi_all_v, lafi_split)
    lafi_all_k_heads = Transpose <perm = [0, 2, 3, 1]> (lafi_all_k_split)
    lafi_all_v_heads = Transpose <perm = [0, 2, 1, 3]> (lafi_all_v_split)
    lafi_all_scores = MatMul (lafi_q_heads, lafi_all_k_heads)
    lafi_all_logits = Add (lafi_all_scores, lafi_offset)
    lafi_all_weights = Softmax <axis = -1> (lafi_all_logits)
    lafi_context_then = MatMul (lafi_all_weights, lafi_all_v_heads)
"""
)

# A -1 is appended to the routes, so that they have a maximum even if R = 0.
_BRANCHES: Final = """
    lafi_none = Constant <value = int32[1] {{-1}}> ()
    lafi_routes_flat = Reshape (routes, lafi_flat)
    lafi_routes_any = Concat <axis = 0> (lafi_routes_flat, lafi_none)
    lafi_routes_max = ReduceMax <keepdims = 0> (lafi_routes_any)
    lafi_routed = GreaterOrEqual (lafi_routes_max, lafi_zero)
    lafi_context = If (lafi_routed) <
        then_branch = lafi_with_references () => (lafi_context_then)
        {{
            {with_references}
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
"""

_TAIL: Final = """
    lafi_context_t = Transpose <perm = [0, 2, 1, 3]> (lafi_context)
    o = Reshape (lafi_context_t, lafi_merge)
}
"""


# With heads apart: onnx 1.23 takes the width of joined ones for 0 where it does not know it.
_OPERATOR: Final = """
    lafi_q_split = Reshape (q, lafi_split)
    lafi_all_k_split = Reshape (lafi_all_k, lafi_split)
    lafi_all_v_split = Reshape (lafi_all_v, lafi_split)
    lafi_q_heads = Transpose <perm = [0, 2, 1, 3]> (lafi_q_split)
    lafi_all_k_heads = Transpose <perm = [0, 2, 1, 3]> (lafi_all_k_split)
    lafi_all_v_heads = Transpose <perm = [0, 2, 1, 3]> (lafi_all_v_split)
    lafi_context = Attention (lafi_q_heads, lafi_all_k_heads, lafi_all_v_heads, lafi_offset)
"""


def attention_function() -> FunctionProto:
    """The function `lafi::LafiAttention`: the op of `lafi_kernels.reference` in standard ops.

    Inputs, floating types all alike: q, k, v (B, S, C); bank_k, bank_v (M, S_ref, C), M may be 0;
    routes (B, R) int32; bias (B, R); mask (B, S); bank_mask (M, S_ref); region (B, R, S).
    Attribute `heads` divides C. Output o (B, S, C).

    An `If` tests whether any row has a route. Without routes the body is plain attention; with
    routes, rows that have none read references at weight 0.

    Cost of reading references: let L be the longer of S and S_ref. Keys and values of rows and
    bank are joined once, 2 (B + M) L C elements, and copied for each slot, with a route or not,
    2 B (1 + R) L C; logits are B heads S (1 + R) L. The kernel that replaces this function on a
    GPU does none of that.
    """
    head = _HEAD.format(opset=OPSET, domain=DOMAIN, name=OP_NAME)
    branch = _WITH_REFERENCES.format(excluded=EXCLUDED)
    body = _QUERIES + _BRANCHES.format(with_references=branch) + _TAIL
    return onnx.parser.parse_function(head + body)


def operator_function() -> FunctionProto:
    """The same op as one standard `Attention` over gathered keys and values, for GPUs.

    It has no `If`, and its work does not depend on any value, which CUDA graphs require. Bias,
    mask and region are the operator's mask, (B, 1, S, (1 + R) L). The copies are those of the other
    body, in every call; a runtime with a fused attention keeps no logits. The operator scales
    queries and keys itself, by 1 / sqrt(d).
    """
    head = _HEAD.format(opset=OPERATOR_OPSET, domain=DOMAIN, name=OP_NAME)
    return onnx.parser.parse_function(
        head + _GATHERED.format(excluded=EXCLUDED) + _OPERATOR + _TAIL
    )
