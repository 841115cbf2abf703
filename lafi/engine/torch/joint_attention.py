"""The attention op in transformers, where a sequence may hold more than a picture's tokens.

Text tokens, and tokens that pad a picture, stand before or after the picture's. The op stays as it
is: no reference's tokens but its picture's are read, and only a picture's tokens read. Queries
and keys come with their norms and rotary positions. The bank keeps keys without rotary positions,
because the same entry is read at different places; each call rotates one copy of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lafi.engine.torch.attention import Collected, pooled_to_grid, to_tokens
from lafi.engine.torch.rotary import rotated
from lafi.model.bank_groups import bank_groups, bank_places
from lafi.model.info import AttentionSite
from lafi.ports.engines import DenoiserBatch, ReferenceBatch
from lafi_kernels.reference import attention

LEFT_OUT = -10000.0
"""Offset of a token that nobody reads: its exp is 0, and in a wider head it is finite in fp16."""
ALIGNED = 8
"""Channels that a head gets for the offsets of its own tokens; kernels want a multiple of this."""
Injection = DenoiserBatch | Collected | None
"""What self-attention reads from, what it writes its keys and values to, or neither."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a self-attention stands in the model.

    index      among the model's sites, in forward order
    downscale  latent cells of a token along a side
    place      (group, index in it) of its keys and values in the bank
    """

    index: int
    downscale: int
    place: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Beside:
    """What else is in the sequence of a picture's tokens.

    before, after  tokens before and after the picture's
    offsets        (B, all tokens) float32, added to the logits of each token for all that read it
                   in its own row; None adds nothing. LEFT_OUT leaves a token out.
    """

    before: int = 0
    after: int = 0
    offsets: Tensor | None = None


def sites_by_name(layers: Sequence[AttentionSite]) -> dict[str, Site]:
    """Module path -> its site. layers: all of the model, in forward order."""
    places = bank_places(bank_groups(layers))
    return {
        layer.name: Site(index, layer.downscale, places[index])
        for index, layer in enumerate(layers)
    }


def read_rows(batch: DenoiserBatch | ReferenceBatch) -> Tensor:
    """(B,) bool: the rows that another row, or they themselves, read; none of references alone."""
    if isinstance(batch, ReferenceBatch):
        return torch.zeros_like(batch["timesteps"], dtype=torch.bool)
    routes = batch["routes"]
    rows = torch.arange(routes.shape[1], dtype=routes.dtype, device=routes.device)
    return (routes[..., None] == rows).any(dim=0).any(dim=0).any(dim=0)


def heads_normed(x: Tensor, heads: int, norm: nn.Module | None) -> Tensor:
    """x (B, S, heads * d); the norm is over d, None leaves it."""
    if norm is None:
        return x
    split: Tensor = norm(x.unflatten(-1, (heads, -1)))
    return split.flatten(2)


def joint_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    site: Site,
    beside: Beside,
    injection: Injection,
    entries: Tensor | None = None,
) -> Tensor:
    """q, k, v (B, N, heads * d), normed and rotated -> (B, N, heads * d).

    entries: (1, S, d / 2), rotary angles at which the bank's keys are read; None leaves them.
    Without a `DenoiserBatch` no reference is read.
    """
    if not isinstance(injection, DenoiserBatch):
        return _plain(q, k, v, heads, beside.offsets)
    picture = q.shape[1] - beside.before - beside.after

    def padded(weights: Tensor) -> Tensor:
        return F.pad(weights, (beside.before, beside.after))

    mask = to_tokens(injection["mask"], site.downscale, picture)
    region = to_tokens(injection["region"], site.downscale, picture)
    bank_k, bank_v, bank_mask = k[:0], v[:0], padded(mask[:0])
    if injection.bank is not None:
        group, place = site.place
        bank_k, bank_v = injection.bank.keys[group][place], injection.bank.values[group][place]
        bank_mask = pooled_to_grid(injection.bank.mask, site.downscale)
        if entries is not None:
            bank_k = rotated(bank_k, entries, heads)
        bank_k, bank_v = bank_k.to(k.dtype), bank_v.to(v.dtype)
    if beside.offsets is not None:
        offsets = beside.offsets
        q, k, v = _with_offsets(q, k, v, heads, offsets)
        none = torch.zeros_like(bank_mask)
        bank_k, bank_v = _wider(bank_k, none, heads), _wider(bank_v, none, heads)
    read = attention(
        q,
        k,
        v,
        bank_k,
        bank_v,
        injection["routes"][site.index],
        injection["bias"],
        padded(mask),
        bank_mask,
        padded(region),
        heads,
    )
    return read if beside.offsets is None else _narrower(read, heads)


def _plain(q: Tensor, k: Tensor, v: Tensor, heads: int, offsets: Tensor | None) -> Tensor:
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    mask = None if offsets is None else offsets.to(q.dtype)[:, None, None]
    return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)


def _with_offsets(
    q: Tensor, k: Tensor, v: Tensor, heads: int, offsets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Wider heads, in which a query times a key gives the same logit and the key's offset.

    The op adds nothing to the logits of a row's own tokens; one channel of every head does. Logits
    are divided by the square root of a head's width, which has grown.
    """
    width = q.shape[-1] // heads
    grown = (width + ALIGNED) / width
    # Half of the correction on either side keeps both finite in float16.
    scale = (width + ALIGNED) ** 0.25
    ones = torch.ones_like(offsets)
    return (
        _wider(q * grown**0.5, ones * scale, heads),
        _wider(k, offsets * scale, heads),
        _wider(v, 0.0 * ones, heads),
    )


def _wider(x: Tensor, channel: Tensor, heads: int) -> Tensor:
    """x (N, S, heads * d), channel (N, S) -> (N, S, heads * (d + ALIGNED)), zeros beside it."""
    split = x.unflatten(-1, (heads, -1))
    added = F.pad(channel.to(x.dtype)[..., None], (0, ALIGNED - 1))
    added = added[:, :, None].expand(*split.shape[:-1], ALIGNED)
    return torch.cat([split, added], dim=-1).flatten(2)


def _narrower(x: Tensor, heads: int) -> Tensor:
    kept: Tensor = x.unflatten(-1, (heads, -1))[..., :-ALIGNED]
    return kept.flatten(2)
