"""Self-attention that reads tokens of other rows of its batch, as a processor of diffusers.

The reads are an argument of every call; no processor stores a mode, a step or features.
Knows rows and tokens, not methods.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from lafi.model.info import AttentionSite


class LayerReads(NamedTuple):
    """What the rows of a batch read in one layer.

    sources (B, R) int64: rows of the same batch, read instead of a row's own tokens; a row that
            also reads its own tokens lists itself
    keep    (B, R, S) bool: the tokens that are read; None for all
    """

    sources: Tensor
    keep: Tensor | None = None


Reads = Sequence[LayerReads | None]
"""For every self-attention layer in forward order; None is plain attention."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch: `branches` times all panels in their order (without prompt, with it), a reference.

    branches: 2 with guidance, else 1.
    """

    panels: int
    branches: int

    @property
    def reference(self) -> int:
        return self.panels * self.branches

    @property
    def total(self) -> int:
        return self.reference + 1

    def branch_of(self, row: int) -> range:
        """The panels' rows in the branch of a panel's row."""
        start = row // self.panels * self.panels
        return range(start, start + self.panels)


class Peer(Protocol):
    """A method of sharing: the reads of every row at step `step` of `steps`; None: no sharing.

    tokens: of each layer.
    """

    def reads(
        self,
        step: int,
        steps: int,
        rows: Rows,
        layers: Sequence[AttentionSite],
        tokens: Sequence[int],
    ) -> Reads | None: ...


class AcrossRowsProcessor:
    """Self-attention of layer `layer` over the tokens that its reads name."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        self._plain = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        reads: Reads | None = None,
    ) -> Tensor:
        """hidden_states (B, S, C) -> (B, S, C)."""
        given = None if reads is None else reads[self.layer]
        if given is None:
            plain: Tensor = self._plain(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return plain
        q, k, v = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        k, v = (x[given.sources].flatten(1, 2) for x in (k, v))
        mask = None if given.keep is None else given.keep.flatten(1)[:, None, None, :]
        q, k, v = (x.unflatten(2, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        read = read.transpose(1, 2).flatten(2)
        out: Tensor = attn.to_out[1](attn.to_out[0](read)) / attn.rescale_output_factor
        return out


class TextProcessor(AttnProcessor2_0):
    """Attention to the text as in diffusers. Accepts `reads`, but ignores it."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        reads: Reads | None = None,
    ) -> Tensor:
        """hidden_states (B, S, C), encoder_hidden_states (B, T, D) -> (B, S, C)."""
        out: Tensor = super().__call__(
            attn, hidden_states, encoder_hidden_states, attention_mask, temb
        )
        return out


def install(unet: UNet2DConditionModel, layers: Sequence[AttentionSite]) -> UNet2DConditionModel:
    """Install a processor in every attention; returns the same UNet.

    layers: the self-attention layers in forward order.
    """
    index = {layer.name: i for i, layer in enumerate(layers)}
    names = [key.removesuffix(".processor") for key in unet.attn_processors]
    unet.set_attn_processor(
        {
            f"{name}.processor": AcrossRowsProcessor(index[name])
            if name in index
            else TextProcessor()
            for name in names
        }
    )
    return unet


def with_reference(rows: Rows) -> Tensor:
    """Sources (B, 2): every row reads itself and the reference; the reference only itself twice.

    Pair it with `keep` so that the reference does not count its own tokens twice.
    """
    own = torch.arange(rows.total)
    return torch.stack([own, torch.full_like(own, rows.reference)], dim=1)


def all_but_the_reference_twice(rows: Rows, tokens: int) -> Tensor:
    """Keep (B, 2, tokens) for `with_reference`."""
    keep = torch.ones(rows.total, 2, tokens, dtype=torch.bool)
    keep[rows.reference, 1] = False
    return keep
