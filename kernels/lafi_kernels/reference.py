"""The attention op in plain torch, fp32: the reference for all other implementations.

Importing this module registers `torch.ops.lafi.attention`. Knows tensors, not storyboards.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lafi_kernels.arguments import check_routes, check_shapes


@torch.library.custom_op("lafi::attention", mutates_args=())
def attention(
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
) -> Tensor:
    """Attention over a row's own tokens and the tokens of the references that it is routed to.

    One softmax over the joined sequence with scale 1 / sqrt(d); a weight of 0 excludes a token
    exactly. Computed in fp32, returned in the dtype of `q`.

    q, k, v          (B, S, heads * d) rows of one batch: panels and references together
    bank_k, bank_v   (M, S_ref, heads * d) references kept from earlier; M may be 0
    routes           (B, R) int32: [0, B) a row of the batch, [B, B + M) a bank entry, -1 nothing
    bias             (B, R) float32, added to that reference's logits
    mask             (B, S) float32 in [0, 1], weight of a row's tokens for rows that read them
    bank_mask        (M, S_ref) float32, the same for the tokens of the bank
    region           (B, R, S) float32 in [0, 1], weight of reference r for each query token
    heads            divides the width of q
    Returns          (B, S, heads * d)
    Raises ValueError where shapes disagree or a route lies outside [-1, B + M).
    """
    check_shapes(q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region, heads)
    check_routes(routes, len(q), len(bank_k))
    routed = (routes >= 0).any(dim=1)
    queries, keys, values = (_split_heads(x, heads) for x in (q, k, v))
    if not bool(routed.any()):
        return _merge_heads(F.scaled_dot_product_attention(queries, keys, values)).to(q.dtype)
    out = torch.empty_like(queries)
    plain = torch.nonzero(~routed).flatten()
    if len(plain) > 0:
        out[plain] = F.scaled_dot_product_attention(queries[plain], keys[plain], values[plain])
    bank_keys, bank_values = (_split_heads(x, heads) for x in (bank_k, bank_v))
    rows = len(q)
    for row, row_routes in enumerate(routes.tolist()):
        segments: list[tuple[Tensor, Tensor, Tensor | None]] = [(keys[row], values[row], None)]
        for slot, source in enumerate(row_routes):
            if source < 0:
                continue
            in_bank = source >= rows
            entry = source - rows if in_bank else source
            weights = bank_mask[entry] if in_bank else mask[entry]
            offset = bias[row, slot].float() + _log_weights(region[row, slot], weights)
            pool_k, pool_v = (bank_keys, bank_values) if in_bank else (keys, values)
            segments.append((pool_k[entry], pool_v[entry], offset))
        if len(segments) > 1:
            out[row] = _attend(queries[row], segments)
    return _merge_heads(out).to(q.dtype)


@attention.register_fake
def _attention_shape(  # type: ignore[no-untyped-def]
    q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region, heads
):
    return torch.empty_like(q, memory_format=torch.contiguous_format)


def _attend(q: Tensor, segments: list[tuple[Tensor, Tensor, Tensor | None]]) -> Tensor:
    """One row: q (heads, S, d) over segments of (keys, values, logit offset (S, S_seg)).

    Only the logits are joined; keys and values are not copied.
    """
    scale = q.shape[-1] ** -0.5
    logits = []
    for keys, _, offset in segments:
        scores = (q * scale) @ keys.transpose(-1, -2)
        logits.append(scores if offset is None else scores + offset)
    weights = torch.cat(logits, dim=-1).softmax(dim=-1)
    parts = torch.split(weights, [x.shape[-1] for x in logits], dim=-1)
    out = parts[0] @ segments[0][1]
    for part, (_, values, _) in zip(parts[1:], segments[1:], strict=True):
        out = out + part @ values
    return out


def _log_weights(region: Tensor, mask: Tensor) -> Tensor:
    """Logit offset (S, S_ref) of query weights (S,) times token weights (S_ref,); 0 -> -inf."""
    return region.float().log()[:, None] + mask.float().log()[None, :]


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, S, heads * d) -> (B, heads, S, d) float32, a view if the input is float32."""
    rows, tokens, width = x.shape
    return x.float().view(rows, tokens, heads, width // heads).transpose(1, 2)


def _merge_heads(x: Tensor) -> Tensor:
    """(B, heads, S, d) -> (B, S, heads * d), contiguous."""
    rows, heads, tokens, width = x.shape
    return x.transpose(1, 2).reshape(rows, tokens, heads * width)
