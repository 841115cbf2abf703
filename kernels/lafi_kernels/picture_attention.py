"""What pictures add to a cross-attention layer: decoupled cross-attention (arXiv:2308.06721).

Importing this module registers `torch.ops.lafi.picture_attention`. Knows tensors, not storyboards.
"""

import torch
from torch import Tensor


@torch.library.custom_op("lafi::picture_attention", mutates_args=())
def picture_attention(
    base: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, heads: int
) -> Tensor:
    """base + the sum over pictures p of weights[:, p] * softmax(q k_p / sqrt(d)) v_p.

    Each picture has a softmax of its own. A weight of 0 adds nothing. Computed in fp32, returned in
    the dtype of `base`. Reads no values, so that it can be captured in a CUDA graph.

    base     (B, S, heads * d), what the layer read from the text
    q        (B, S, heads * d), the queries of that layer
    k, v     (B, P, K, heads * d), of P pictures with K tokens each
    weights  (B, P, S), of each picture for each query token
    heads    divides the width of q
    Returns  (B, S, heads * d)
    Raises ValueError where shapes disagree.
    """
    _check_shapes(base, q, k, v, weights, heads)
    rows, tokens, width = q.shape
    pictures, length = k.shape[1:3]
    queries = q.float().view(rows, tokens, heads, width // heads).transpose(1, 2)
    keys, values = (
        x.float().reshape(rows, pictures * length, heads, width // heads).transpose(1, 2)
        for x in (k, v)
    )
    logits = queries @ keys.transpose(-1, -2) * (width // heads) ** -0.5
    shares = logits.unflatten(-1, (pictures, length)).softmax(dim=-1)
    weighed = shares * weights.float().transpose(1, 2)[:, None, :, :, None]
    added = (weighed.flatten(-2) @ values).transpose(1, 2).reshape(rows, tokens, width)
    out: Tensor = (base.float() + added).to(base.dtype)
    return out


@picture_attention.register_fake
def _picture_attention_shape(base, q, k, v, weights, heads):  # type: ignore[no-untyped-def]
    return torch.empty_like(base, memory_format=torch.contiguous_format)


def _check_shapes(
    base: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, heads: int
) -> None:
    rows, tokens, width = q.shape
    if width % heads:
        raise ValueError(f"heads: got {heads}, allowed a divisor of the width {width}")
    if k.ndim != 4:
        raise ValueError(f"k: got {k.ndim} axes, allowed 4: rows, pictures, tokens, width")
    allowed = {
        "base": (base, (rows, tokens, width)),
        "k": (k, (rows, *k.shape[1:3], width)),
        "v": (v, (rows, *k.shape[1:3], width)),
        "weights": (weights, (rows, k.shape[1], tokens)),
    }
    for name, (tensor, shape) in allowed.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, allowed {shape}")
