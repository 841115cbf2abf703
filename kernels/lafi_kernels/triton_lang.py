# mypy: disable-error-code="import-untyped, import-not-found, no-untyped-def, untyped-decorator"
"""The attention op as one fused Triton-lang kernel that reads references in place.

One pass over a row's own tokens and the tokens of its references keeps the running maximum, sum
and accumulator of a softmax (Dao et al., FlashAttention; Milakov and Gimelshein, online softmax).
Knows tensors and how a kernel is launched. `lafi_kernels.cuda` registers it as the op for GPUs;
`lafi_kernels.ptx` compiles it without a GPU.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from lafi_kernels.arguments import check_routes, check_shapes
from lafi_kernels.tiles import Tile, fixed_tile, split_head

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
SCALARS: Final = ("rows", "tokens", "slots", "bank_rows", "bank_tokens")
"""int32 arguments: B, S, R, M and S_ref. They come between the inputs and the output."""

OUTPUTS: Final = ("o",)

DTYPES: Final = (torch.float16, torch.bfloat16, torch.float32)

LOG2_E = tl.constexpr(1.4426950408889634)
NOTHING = tl.constexpr(float("-inf"))


@triton.jit
def _log2_weight(weight):
    """log2 of weights in [0, 1]; 0 gives -inf, whose exponential is 0."""
    weight = weight.to(tl.float32)
    return tl.where(weight > 0, tl.log2(tl.where(weight > 0, weight, 1.0)), NOTHING)


@triton.jit
def _load(pointers, in_head, PADDED: tl.constexpr):
    """Loads a tile of tokens and dimensions; dimensions beyond the head's width are 0."""
    if PADDED:
        loaded = tl.load(pointers, mask=in_head, other=0.0)
    else:
        loaded = tl.load(pointers)
    return loaded


@triton.jit
def _attend(
    out,
    out_rest,
    total,
    top,
    q,
    q_rest,
    k,
    v,
    weights,
    shift,
    first,
    last,
    WIDTH: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    FIRST: tl.constexpr,
    REST: tl.constexpr,
    KEYS: tl.constexpr,
    EDGE: tl.constexpr,
    WEIGHTED: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Adds the key tokens [first, last) of one head to the running softmax.

    k, v        pointers to the head's part of token 0
    weights     pointer to the weights of the tokens, read if WEIGHTED
    shift       (QUERIES,) log2 offset of each query for all of these tokens, used if WEIGHTED
    EDGE        `last` may lie inside a tile; otherwise all tiles are whole
    out         (QUERIES, FIRST) and out_rest (QUERIES, REST): sums of weighted values
    total, top  (QUERIES,): sum of weights relative to 2^top, largest log2 weight so far
    """
    SCALE: tl.constexpr = LOG2_E / HEAD_DIM**0.5
    PADDED: tl.constexpr = FIRST > HEAD_DIM
    PADDED_REST: tl.constexpr = FIRST + REST > HEAD_DIM
    dims = tl.arange(0, FIRST)
    for start in tl.range(first, last, KEYS, num_stages=STAGES):
        cols = start + tl.arange(0, KEYS)
        # Beyond the end the last token is read again with weight 0, so loads need no bound check.
        at = (tl.minimum(cols, last - 1) if EDGE else cols) * WIDTH
        loaded = _load(k + at[None, :] + dims[:, None], (dims < HEAD_DIM)[:, None], PADDED)
        scores = tl.dot(q, loaded, input_precision=PRECISION)
        if REST > 0:
            rest = FIRST + tl.arange(0, REST)
            loaded = _load(k + at[None, :] + rest[:, None], (rest < HEAD_DIM)[:, None], PADDED_REST)
            scores = tl.dot(q_rest, loaded, scores, input_precision=PRECISION)
        scores = scores * SCALE
        if WEIGHTED:
            weight = tl.load(weights + cols, mask=cols < last, other=0.0)
            scores += _log2_weight(weight)[None, :]
            new_top = tl.maximum(top, tl.max(scores, 1) + shift)
            # A query that the region shuts out has shift -inf: it subtracts +inf and gets 0. No
            # NaN can arise, because the own segment came first and left `top` finite.
            share = tl.exp2(scores - (new_top - shift)[:, None])
        else:
            if EDGE:
                scores = tl.where((cols < last)[None, :], scores, NOTHING)
            new_top = tl.maximum(top, tl.max(scores, 1))
            share = tl.exp2(scores - new_top[:, None])
        fade = tl.exp2(top - new_top)
        total = total * fade + tl.sum(share, 1)
        top = new_top
        share = share.to(v.dtype.element_ty)
        loaded = _load(v + at[:, None] + dims[None, :], (dims < HEAD_DIM)[None, :], PADDED)
        out = tl.dot(share, loaded, out * fade[:, None], input_precision=PRECISION)
        if REST > 0:
            rest = FIRST + tl.arange(0, REST)
            loaded = _load(v + at[:, None] + rest[None, :], (rest < HEAD_DIM)[None, :], PADDED_REST)
            out_rest = tl.dot(share, loaded, out_rest * fade[:, None], input_precision=PRECISION)
    return out, out_rest, total, top


# Not specialised on sizes: one compilation serves all batch and picture sizes.
@triton.jit(do_not_specialize=SCALARS)
def lafi_attention_kernel(
    q,
    k,
    v,
    bank_k,
    bank_v,
    routes,
    bias,
    mask,
    bank_mask,
    region,
    rows,
    tokens,
    slots,
    bank_rows,
    bank_tokens,
    o,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    FIRST: tl.constexpr,
    REST: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """`lafi_kernels.reference.attention` for one tile of queries of one head of one row.

    Grid: (ceil(tokens / QUERIES), rows * HEADS); the second is at most 65,535. All tensors are
    contiguous and 16-byte aligned; q, k, v, bank_k, bank_v, o have one dtype, the weights any
    floating dtype. A row of a tensor has fewer than 2^31 elements, the tensor may have more.
    A route outside [-1, rows + bank_rows) reads nothing, like -1. For such a route no key, value,
    mask or region is loaded. If bias or region exclude the reference for the whole tile, no key,
    value or mask is loaded.
    """
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    PADDED: tl.constexpr = FIRST > HEAD_DIM
    PADDED_REST: tl.constexpr = FIRST + REST > HEAD_DIM
    row = tl.program_id(1) // HEADS
    head_at = (tl.program_id(1) % HEADS) * HEAD_DIM
    own_at = row.to(tl.int64) * tokens * WIDTH + head_at

    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    is_query = query < tokens
    # Queries beyond the end repeat the last one; their results are not stored.
    at = own_at + tl.minimum(query, tokens - 1)[:, None] * WIDTH
    dims = tl.arange(0, FIRST)
    q_first = _load(q + at + dims[None, :], (dims < HEAD_DIM)[None, :], PADDED)
    out = tl.zeros([QUERIES, FIRST], tl.float32)
    if REST > 0:
        rest = FIRST + tl.arange(0, REST)
        q_rest = _load(q + at + rest[None, :], (rest < HEAD_DIM)[None, :], PADDED_REST)
        out_rest = tl.zeros([QUERIES, REST], tl.float32)
    else:
        q_rest, out_rest = q_first, out
    total = tl.zeros([QUERIES], tl.float32)
    top = tl.full([QUERIES], NOTHING, tl.float32)

    # Own tokens: first the whole tiles, without bound checks, then the rest.
    whole = tokens // KEYS * KEYS
    out, out_rest, total, top = _attend(
        out, out_rest, total, top, q_first, q_rest, k + own_at, v + own_at, mask, top, 0,
        whole, WIDTH, HEAD_DIM, FIRST, REST, KEYS, False, False, STAGES, PRECISION,
    )  # fmt: skip
    out, out_rest, total, top = _attend(
        out, out_rest, total, top, q_first, q_rest, k + own_at, v + own_at, mask, top, whole,
        tokens, WIDTH, HEAD_DIM, FIRST, REST, KEYS, True, False, 1, PRECISION,
    )  # fmt: skip

    for slot in range(slots):
        edge = row * slots + slot
        source = tl.load(routes + edge)
        read = (source >= 0) & (source < rows + bank_rows)
        in_bank = source >= rows
        entry = tl.where(in_bank, source - rows, source).to(tl.int64)
        length = tl.where(in_bank, bank_tokens, tokens)
        readers = query < tl.where(read, tokens, 0)
        seen = tl.load(region + edge.to(tl.int64) * tokens + query, mask=readers, other=0.0)
        shift = _log2_weight(seen) + tl.load(bias + edge).to(tl.float32) * LOG2_E
        last = tl.where(read & (tl.max(shift, 0) > NOTHING), length, 0)
        ref_at = entry * length * WIDTH + head_at
        out, out_rest, total, top = _attend(
            out, out_rest, total, top, q_first, q_rest,
            tl.where(in_bank, bank_k, k) + ref_at, tl.where(in_bank, bank_v, v) + ref_at,
            tl.where(in_bank, bank_mask, mask) + entry * length, shift, 0, last,
            WIDTH, HEAD_DIM, FIRST, REST, KEYS, True, True, STAGES, PRECISION,
        )  # fmt: skip

    result = (out / total[:, None]).to(o.dtype.element_ty)
    stored = is_query[:, None] & (dims < HEAD_DIM)[None, :]
    tl.store(o + at + dims[None, :], result, mask=stored)
    if REST > 0:
        rest = FIRST + tl.arange(0, REST)
        result = (out_rest / total[:, None]).to(o.dtype.element_ty)
        stored = is_query[:, None] & (rest < HEAD_DIM)[None, :]
        tl.store(o + at + rest[None, :], result, mask=stored)


def constants(heads: int, head_dim: int, dtype: torch.dtype, tile: Tile) -> dict[str, Any]:
    """The kernel's constexpr arguments for a compiled launch.

    fp32 is multiplied as three TF32 products, with nearly fp32 precision; the matrix units take
    fp16 and bf16 directly. Everything is accumulated in fp32.
    """
    first, rest = split_head(head_dim)
    return {
        "HEADS": heads,
        "HEAD_DIM": head_dim,
        "FIRST": first,
        "REST": rest,
        "QUERIES": tile.queries,
        "KEYS": tile.keys,
        "STAGES": tile.stages,
        "PRECISION": "tf32x3" if dtype == torch.float32 else "tf32",
    }


def options(tile: Tile) -> dict[str, Any]:
    """Compile options; products and sums are fused, as CUDA C++ does by default."""
    return {"num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": True}


def attention_triton_lang(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bank_k: Tensor,
    bank_v: Tensor,
    routes: Tensor,
    bias: Tensor,
    mask: Tensor,
    bank_mask: Tensor,
    region: Tensor,
    heads: int,
    *,
    tile: Tile | None = None,
) -> Tensor:
    """`lafi_kernels.reference.attention` by the fused kernel, in the dtype of `q`.

    Shapes and meaning as there; q, k, v, bank_k and bank_v all float32, float16 or bfloat16.
    tile: None takes the fixed choice for the GPU, head width and dtype.
    Routes on a GPU are not checked, to avoid waiting for it: one out of range reads nothing.
    Tensors that are not contiguous are copied first; the UNet's projections are contiguous.
    Raises ValueError for wrong shapes or, on the CPU, wrong routes; TypeError for dtypes.
    CPU tensors need Triton-lang's interpreter (TRITON_INTERPRET=1 before the first import).
    """
    check_shapes(q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region, heads)
    _check_dtypes(q, k, v, bank_k, bank_v, routes)
    rows, tokens, width = q.shape
    on_cpu = q.device.type == "cpu"
    if on_cpu:
        check_routes(routes, rows, len(bank_k))
    if tile is None:
        tile = Tile(16, 16, 4, 1) if on_cpu else _tile_of(q, width // heads)
    inputs = (q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region)
    if on_cpu and q.dtype == torch.bfloat16:
        # The interpreter would multiply the bit patterns of bf16 as integers. Never true on a GPU.
        widened: Callable[..., Tensor] = partial(attention_triton_lang, heads=heads, tile=tile)
        return widened(*(x.float() if x.dtype == q.dtype else x for x in inputs)).to(q.dtype)
    arguments = launch_arguments(*inputs)
    if q.numel() > 0:
        with device_of(q):
            lafi_attention_kernel[grid(rows, tokens, heads, tile)](
                *arguments, **constants(heads, width // heads, q.dtype, tile), **options(tile)
            )
    o: Tensor = arguments[-1]
    return o


def launch_arguments(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bank_k: Tensor,
    bank_v: Tensor,
    routes: Tensor,
    bias: Tensor,
    mask: Tensor,
    bank_mask: Tensor,
    region: Tensor,
) -> tuple[Any, ...]:
    """The kernel's non-constant arguments: contiguous inputs, sizes and a new output."""
    inputs = (q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region)
    sizes = (*q.shape[:2], routes.shape[1], *bank_k.shape[:2])
    o = torch.empty_like(q, memory_format=torch.contiguous_format)
    return (*(x.contiguous() for x in inputs), *sizes, o)


def grid(rows: int, tokens: int, heads: int, tile: Tile) -> tuple[int, int, int]:
    """Number of programs of the launch, in x, y and z."""
    return (-(-tokens // tile.queries), rows * heads, 1)


def _tile_of(q: Tensor, head_dim: int) -> Tile:
    major, minor = torch.cuda.get_device_capability(q.device)
    return fixed_tile(10 * major + minor, head_dim, q.element_size())


def device_of(q: Tensor) -> AbstractContextManager[Any]:
    """Makes the device of `q` the current one, because Triton-lang launches there."""
    return nullcontext() if q.device.type == "cpu" else torch.cuda.device(q.device)


def _check_dtypes(
    q: Tensor, k: Tensor, v: Tensor, bank_k: Tensor, bank_v: Tensor, routes: Tensor
) -> None:
    if q.dtype not in DTYPES:
        raise TypeError(f"q: got {q.dtype}, allowed {', '.join(map(str, DTYPES))}")
    for name, tensor in (("k", k), ("v", v), ("bank_k", bank_k), ("bank_v", bank_v)):
        if tensor.dtype != q.dtype:
            raise TypeError(f"{name}: got {tensor.dtype}, allowed that of q, {q.dtype}")
    if routes.dtype != torch.int32:
        raise TypeError(f"routes: got {routes.dtype}, allowed torch.int32")
