"""The attention op inside a diffusers UNet, with routes as an argument of every call.

A processor knows two constants, its layer's index and grid. What to read arrives through
`cross_attention_kwargs={"injection": InjectionInputs(...)}` and is kept nowhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from lafi.model_info import SelfAttentionLayer
from lafi_kernels.reference import attention


class InjectionInputs(NamedTuple):
    """What the rows of one denoiser call read.

    routes (L, B, R) int32, bias (B, R) float32, mask (B, h, w) and region (B, R, h, w) float32
    in [0, 1] at latent size; see `lafi.engine.base.DenoiserBatch`.
    """

    routes: Tensor
    bias: Tensor
    mask: Tensor
    region: Tensor


class SelfAttentionProcessor:
    """Self-attention of layer `layer`, whose token grid is the latent's divided by `downscale`.

    Without injection inputs it is the attention of diffusers, unchanged.
    """

    def __init__(self, layer: int, downscale: int) -> None:
        self.layer = layer
        self.downscale = downscale
        self._plain = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        injection: InjectionInputs | None = None,
    ) -> Tensor:
        """hidden_states (B, S, C) -> (B, S, C). Raises RuntimeError if S is not the grid's size."""
        if injection is None or encoder_hidden_states is not None:
            plain: Tensor = self._plain(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return plain
        tokens = hidden_states.shape[1]
        k = attn.to_k(hidden_states)
        v = attn.to_v(hidden_states)
        mask = to_tokens(injection.mask, self.downscale, tokens)
        read = attention(
            attn.to_q(hidden_states),
            k,
            v,
            k[:0],
            v[:0],
            injection.routes[self.layer],
            injection.bias,
            mask,
            mask[:0],
            to_tokens(injection.region, self.downscale, tokens),
            attn.heads,
        )
        # to_out is the projection, then a dropout that does nothing at inference.
        out: Tensor = attn.to_out[1](attn.to_out[0](read)) / attn.rescale_output_factor
        return out


class CrossAttentionProcessor(AttnProcessor2_0):
    """Attention to the text as in diffusers. It names `injection` only to be allowed to get it."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        injection: InjectionInputs | None = None,
    ) -> Tensor:
        """hidden_states (B, S, C), encoder_hidden_states (B, T, D) -> (B, S, C)."""
        out: Tensor = super().__call__(
            attn, hidden_states, encoder_hidden_states, attention_mask, temb
        )
        return out


def to_tokens(weights: Tensor, downscale: int, tokens: int) -> Tensor:
    """Weights at latent size -> weights of a layer's tokens, by area average, row by row.

    weights (B, ..., h, w) float32; the grid is ceil(h / downscale) x ceil(w / downscale), as
    strided convolutions leave it. Returns (B, ..., tokens). Raises RuntimeError if the grid
    has another number of tokens.
    """
    grid = weights.flatten(0, -3)[:, None]
    if downscale > 1:
        grid = F.avg_pool2d(grid, downscale, ceil_mode=True, count_include_pad=False)
    flat = grid.flatten(1)
    torch._check(
        flat.shape[1] == tokens,
        lambda: f"mask: {flat.shape[1]} tokens at 1/{downscale} of the latent, layer has {tokens}",
    )
    return flat.reshape(*weights.shape[:-2], tokens)


def install_processors(
    unet: UNet2DConditionModel, layers: Sequence[SelfAttentionLayer]
) -> UNet2DConditionModel:
    """Give every self-attention layer of the UNet its processor; returns the same UNet.

    layers: the UNet's self-attention layers in forward order, as `lafi.layers` lists them.
    Raises ValueError for attention with parts that the op does not have (norms, residuals).
    """
    index = {layer.name: i for i, layer in enumerate(layers)}
    processors: dict[str, SelfAttentionProcessor | CrossAttentionProcessor] = {}
    for key in unet.attn_processors:
        name = key.removesuffix(".processor")
        if name not in index:
            processors[key] = CrossAttentionProcessor()
            continue
        _check_plain(name, unet.get_submodule(name))
        processors[key] = SelfAttentionProcessor(index[name], layers[index[name]].downscale)
    unet.set_attn_processor(processors)
    return unet


def _check_plain(name: str, attn: torch.nn.Module) -> None:
    extras = ("spatial_norm", "group_norm", "norm_q", "norm_k")
    present = [extra for extra in extras if getattr(attn, extra, None) is not None]
    if getattr(attn, "residual_connection", False):
        present.append("residual_connection")
    if present:
        raise ValueError(f"{name}: self-attention with {', '.join(present)} is not supported")
