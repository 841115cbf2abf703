"""The attention op inside a diffusers UNet, with routes as an argument of every call.

A processor holds only constants: its layer's index and grid, and the layer's place in the bank.
Each call gets its batch as `cross_attention_kwargs={"injection": DenoiserBatch(...)}`; a pass
over references returns keys and values in `{"injection": Collected()}`. Neither is stored.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from lafi.model.bank_groups import BankGroup, bank_groups, bank_places
from lafi.model.info import AttentionSite
from lafi.model.input_port import WORDS
from lafi.model.picture_prompt_info import PICTURE_PROMPTS, PICTURE_TOKENS, PICTURE_WEIGHTS
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch
from lafi_kernels.picture_attention import picture_attention
from lafi_kernels.reference import attention

EXCLUDED: Final = -30000.0
"""Logit offset of a word outside its region: finite in fp16 and bf16, and its exp is 0."""


class Collected(dict[int, tuple[Tensor, Tensor]]):
    """Layer -> its keys and values, (B, S, width) each. A forward pass fills it.

    The caller makes a new one for each pass.
    """


class SelfAttentionProcessor:
    """Self-attention of layer `layer`, whose token grid is the latent's divided by `downscale`.

    place: (group, index in it) of the layer's keys and values in the bank.
    Without injection inputs it is exactly the attention of diffusers.
    """

    def __init__(self, layer: int, downscale: int, place: tuple[int, int]) -> None:
        self.layer = layer
        self.downscale = downscale
        self.place = place
        self._plain = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        injection: DenoiserBatch | Collected | None = None,
    ) -> Tensor:
        """hidden_states (B, S, C) -> (B, S, C). Raises RuntimeError if S is not the grid's size."""
        if isinstance(injection, Collected):
            injection[self.layer] = (attn.to_k(hidden_states), attn.to_v(hidden_states))
        if not isinstance(injection, DenoiserBatch) or encoder_hidden_states is not None:
            plain: Tensor = self._plain(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return plain
        tokens = hidden_states.shape[1]
        k = attn.to_k(hidden_states)
        v = attn.to_v(hidden_states)
        mask = to_tokens(injection["mask"], self.downscale, tokens)
        bank_k, bank_v, bank_mask = k[:0], v[:0], mask[:0]
        if injection.bank is not None:
            group, place = self.place
            bank_k, bank_v = injection.bank.keys[group][place], injection.bank.values[group][place]
            bank_mask = pooled_to_grid(injection.bank.mask, self.downscale)
        read = attention(
            attn.to_q(hidden_states),
            k,
            v,
            bank_k,
            bank_v,
            injection["routes"][self.layer],
            injection["bias"],
            mask,
            bank_mask,
            to_tokens(injection["region"], self.downscale, tokens),
            attn.heads,
        )
        # to_out is the projection, then a dropout, which does nothing at inference.
        out: Tensor = attn.to_out[1](attn.to_out[0](read)) / attn.rescale_output_factor
        return out


class CrossAttentionProcessor:
    """Attention to text and pictures, which can limit a character's words to its region.

    Its token grid is the latent's divided by `downscale`. Without limited words, padded texts and
    pictures it is exactly the attention of diffusers. Pictures are read with keys and values of
    their own. The weight of a region multiplies exp(logit), so 0
    excludes a word exactly. Words that belong to no character are never excluded.
    """

    def __init__(
        self, downscale: int, pictures: tuple[torch.nn.Module, torch.nn.Module] | None = None
    ) -> None:
        """pictures: what makes keys and values of their tokens; None: it reads none."""
        self.downscale = downscale
        self.pictures = pictures
        self._plain = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        injection: DenoiserBatch | Collected | None = None,
    ) -> Tensor:
        """hidden_states (B, S, C), encoder_hidden_states (B, T, D) -> (B, S, C).

        attention_mask: (B, 1, T), added to the logits of each token; None where all tokens count.
        """
        words = injection.ports.get(WORDS) if isinstance(injection, DenoiserBatch) else None
        shown = isinstance(injection, DenoiserBatch) and PICTURE_TOKENS in injection.ports
        asked = shown or words is not None or attention_mask is not None
        if encoder_hidden_states is None or not asked:
            plain: Tensor = self._plain(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return plain
        offsets = attention_mask
        if words is not None:
            assert isinstance(injection, DenoiserBatch)
            region = to_tokens(injection["region"], self.downscale, hidden_states.shape[1])
            offsets = word_offsets(words, region, attention_mask)
        queries = attn.to_q(hidden_states)
        q, k, v = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for part in (
                queries,
                attn.to_k(encoder_hidden_states),
                attn.to_v(encoder_hidden_states),
            )
        )
        mask = None if offsets is None else offsets.to(q.dtype)[:, None]
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        merged = read.transpose(1, 2).flatten(2)
        if shown:
            assert isinstance(injection, DenoiserBatch)
            merged = self._with_pictures(merged, queries, injection, attn.heads)
        out: Tensor = attn.to_out[1](attn.to_out[0](merged)) / attn.rescale_output_factor
        return out

    def _with_pictures(self, text: Tensor, q: Tensor, rows: DenoiserBatch, heads: int) -> Tensor:
        """text (B, S, C): what was read from it with the queries q (B, S, C)."""
        assert self.pictures is not None
        to_k, to_v = self.pictures
        tokens = rows[PICTURE_TOKENS].to(q.dtype)
        weights = to_tokens(rows[PICTURE_WEIGHTS], self.downscale, q.shape[1])
        keys, values = to_k(tokens), to_v(tokens)
        read: Tensor = picture_attention(text, q, keys, values, weights.to(q.dtype), heads)
        return read


def word_offsets(words: Tensor, region: Tensor, counting: Tensor | None = None) -> Tensor:
    """Logit offsets that make each text token act only in its region.

    words (B, T) int32: slot in [0, R) whose region limits the token, or -1. region (B, R, S)
    float32 in [0, 1]. counting (B, 1, T): added everywhere, such as what excludes padding; None
    adds nothing. Returns (B, S, T) float32: the log of the weight, 0 for -1.
    """
    rows, count, tokens = region.shape
    slots = torch.arange(count, dtype=words.dtype, device=words.device)
    shape = (rows, count, words.shape[1])
    # Expanded explicitly: broadcasting would make a trace depend on whether there is one slot.
    limited = words[:, None].expand(shape) == slots[None, :, None].expand(shape)
    logs, chosen = torch.where(region > 0, region.log(), EXCLUDED), limited.to(region.dtype)
    if counting is not None:
        # One slot more, whose log is 1 everywhere: the product below adds what counts as it goes.
        logs = torch.cat([logs, logs.new_ones(rows, 1, tokens)], dim=1)
        chosen = torch.cat([chosen, counting.to(chosen.dtype)], dim=1)
    # A product with ones and zeros gathers in one small operation in every runtime.
    return torch.bmm(logs.transpose(1, 2), chosen)


def to_tokens(weights: Tensor, downscale: int, tokens: int) -> Tensor:
    """Weights at latent size -> weights of a layer's tokens, by area average, row by row.

    weights (B, ..., h, w) float32; the grid is ceil(h / downscale) x ceil(w / downscale), as
    after strided convolutions. Returns (B, ..., tokens). Raises RuntimeError if the grid has
    another number of tokens.
    """
    flat = pooled_to_grid(weights.flatten(0, -3), downscale)
    found = flat.shape[1]
    if torch.compiler.is_dynamo_compiling():
        # torch.compile would break its graph at a text that contains sizes.
        torch._check(found == tokens)
    else:
        torch._check(
            found == tokens,
            lambda: f"mask: {found} tokens at 1/{downscale} of the latent, layer has {tokens}",
        )
    return flat.reshape(*weights.shape[:-2], tokens)


def pooled_to_grid(weights: Tensor, downscale: int) -> Tensor:
    """(N, h, w) float32 -> averages (N, S) over the cells of each token; N may be 0."""
    grid = weights[:, None]
    if downscale > 1:
        grid = F.avg_pool2d(grid, downscale, ceil_mode=True, count_include_pad=False)
    return grid.flatten(1)


def packed_by_group(collected: Collected, groups: Sequence[BankGroup], mask: Tensor) -> BankInputs:
    """The collected keys and values of a pass over reference rows, as bank inputs.

    collected: of every layer, for B rows. mask (B, h, w). Returns the rows as B entries.
    """

    def packed(part: int) -> tuple[Tensor, ...]:
        return tuple(
            torch.stack([collected[layer][part] for layer in group.layers]) for group in groups
        )

    return BankInputs(keys=packed(0), values=packed(1), mask=mask)


def install_processors(
    unet: UNet2DConditionModel, layers: Sequence[AttentionSite]
) -> UNet2DConditionModel:
    """Install our processor in every self-attention layer of the UNet; returns the same UNet.

    layers: the UNet's self-attention layers in forward order, as `lafi.model.layers` lists them.
    A UNet with an adapter (`lafi.engine.torch.picture_prompts`) reads pictures by its layers.
    Raises ValueError for attention with parts that the op lacks (norms, residuals).
    """
    adapter = getattr(unet, PICTURE_PROMPTS, None)
    index = {layer.name: i for i, layer in enumerate(layers)}
    places = bank_places(bank_groups(layers))
    processors: dict[str, SelfAttentionProcessor | CrossAttentionProcessor] = {}
    for key in unet.attn_processors:
        name = key.removesuffix(".processor")
        if name not in index:
            pictures = None if adapter is None else adapter.of(name)
            processors[key] = CrossAttentionProcessor(_grid_beside(name, index, layers), pictures)
            _check_plain(name, unet.get_submodule(name))
            continue
        _check_plain(name, unet.get_submodule(name))
        layer = index[name]
        processors[key] = SelfAttentionProcessor(layer, layers[layer].downscale, places[layer])
    unet.set_attn_processor(processors)
    return unet


def _grid_beside(name: str, index: Mapping[str, int], layers: Sequence[AttentionSite]) -> int:
    """Downscale of the self-attention in the same transformer block, whose grid it shares."""
    beside = f"{name.rpartition('.')[0]}.attn1"
    if beside not in index:
        raise ValueError(f"{name}: cross-attention without self-attention beside it")
    return layers[index[beside]].downscale


def _check_plain(name: str, attn: torch.nn.Module) -> None:
    extras = ("spatial_norm", "group_norm", "norm_q", "norm_k", "norm_cross")
    present = [extra for extra in extras if getattr(attn, extra, None) is not None]
    if getattr(attn, "residual_connection", False):
        present.append("residual_connection")
    if present:
        raise ValueError(f"{name}: attention with {', '.join(present)} is not supported")
