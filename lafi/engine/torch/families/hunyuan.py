"""Diffusers' `HunyuanDiT2DModel` with routes as an argument of every call.

Its own forward passes nothing on to attention but rotary positions. This one runs the same
submodules in the same order, and times stay in float32 until they are embedded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from diffusers import HunyuanDiT2DModel
from torch import Tensor

from lafi.engine.torch.attention import Collected, packed_by_group, to_tokens, word_offsets
from lafi.engine.torch.joint_attention import (
    Beside,
    Injection,
    Site,
    heads_normed,
    joint_attention,
    read_rows,
    sites_by_name,
)
from lafi.engine.torch.rotary import angles_of, reference_shift, rotary_speeds, rotated
from lafi.engine.torch.text_stacks.hunyuan import TORCH_HUNYUAN_TEXTS
from lafi.model.bank_groups import BankGroup
from lafi.model.families.hunyuan import META_SIZE, VAE_SCALE
from lafi.model.info import ModelInfo
from lafi.model.input_port import TEXT, TEXT_MASK, WORDS
from lafi.model.text_stacks.hunyuan_reader import BERT_LENGTH
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

_BASE_SIDE: Final = 512
"""Pixels of the longer side of the pictures whose coordinates all others are brought to."""
_THETA: Final = 10000.0


class TorchHunyuan:
    """`TorchFamily` of Hunyuan-DiT."""

    name: Final = "hunyuan"
    part: Final = "transformer"
    module_class: Final = HunyuanDiT2DModel
    text: Final = TORCH_HUNYUAN_TEXTS

    def install(self, module: Any, info: ModelInfo) -> None:
        """As `TorchFamily`. Raises ValueError for `reference_positions` that it has no axis for."""
        if info.reference_positions == "own":
            raise ValueError("reference_positions: got 'own', allowed same, shifted")
        for name, site in sites_by_name(info.layers).items():
            block = module.get_submodule(name.rpartition(".")[0])
            block.attn1.set_processor(_SelfAttention(site))
            block.attn2.set_processor(_CrossAttention(site.downscale))
        module.lafi_reference_positions = info.reference_positions

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        """As `TorchFamily`."""
        return _run(module, batch, batch)

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        """As `TorchFamily`, in the module's dtype."""
        collected = Collected()
        _run(module, batch, collected)
        return packed_by_group(collected, groups, batch.mask)


FAMILY: Final = TorchHunyuan()


@dataclass(frozen=True, slots=True)
class _Angles:
    """Rotary angles of a grid's tokens, float32 (1 or B, S, d / 2), row by row.

    own        of each row, where those that others read may be moved
    unmoved    of all rows
    entry      of the bank's entries, which have one size; None without a bank
    """

    own: Tensor
    unmoved: Tensor
    entry: Tensor | None


@dataclass(frozen=True, slots=True)
class _Call:
    """What attention gets besides its tokens."""

    angles: _Angles
    injection: Injection


class _SelfAttention:
    """Self-attention of the block at a site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        call: _Call,
    ) -> Tensor:
        """hidden_states (B, S, C) -> (B, S, C)."""
        heads, angles = attn.heads, call.angles
        q, k = _queries(attn, hidden_states), _keys(attn, hidden_states)
        v = attn.to_v(hidden_states)
        if isinstance(call.injection, Collected):
            call.injection[self._site.index] = (k, v)
        q, k = (rotated(x, angles.own, heads) for x in (q, k))
        read = joint_attention(q, k, v, heads, self._site, Beside(), call.injection, angles.entry)
        return _projected(attn, read)


class _CrossAttention:
    """Attention to the texts, which can limit the words of a character to its region."""

    def __init__(self, downscale: int) -> None:
        self._downscale = downscale

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        call: _Call,
    ) -> Tensor:
        """hidden_states (B, S, C), encoder_hidden_states (B, T, D) -> (B, S, C)."""
        heads, offsets = attn.heads, None
        given = call.injection
        words = given.ports.get(WORDS) if isinstance(given, DenoiserBatch) else None
        if words is not None:
            assert isinstance(given, DenoiserBatch)
            region = to_tokens(given["region"], self._downscale, hidden_states.shape[1])
            offsets = word_offsets(words, region).to(hidden_states.dtype)[:, None]
        q, k, v = (
            x.unflatten(-1, (heads, -1)).transpose(1, 2)
            for x in (
                rotated(_queries(attn, hidden_states), call.angles.unmoved, heads),
                _keys(attn, encoder_hidden_states),
                attn.to_v(encoder_hidden_states),
            )
        )
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=offsets)
        return _projected(attn, read.transpose(1, 2).flatten(2))


def _queries(attn: Any, tokens: Tensor) -> Tensor:
    return heads_normed(attn.to_q(tokens), attn.heads, attn.norm_q)


def _keys(attn: Any, tokens: Tensor) -> Tensor:
    return heads_normed(attn.to_k(tokens), attn.heads, attn.norm_k)


def _projected(attn: Any, read: Tensor) -> Tensor:
    # to_out is the projection, then a dropout, which does nothing at inference.
    out: Tensor = attn.to_out[0](read)
    return out


def _run(module: Any, batch: DenoiserBatch | ReferenceBatch, injection: Injection) -> Tensor:
    """injection: what attention reads, or writes to. Gives the prediction, (B, C, h, w)."""
    config, dtype = module.config, module.dtype
    latents = batch["latents"].to(dtype)
    high, wide = (side // config.patch_size for side in latents.shape[2:])
    call = _Call(_angles_of_call(module, high, wide, read_rows(batch), injection), injection)
    text = batch[TEXT].to(dtype)
    bert = text[:, :BERT_LENGTH, : config.cross_attention_dim]
    t5 = text[:, BERT_LENGTH:, : config.cross_attention_dim_t5]
    words = torch.cat([bert, module.text_embedder(t5)], dim=1)
    words = torch.where(batch[TEXT_MASK][..., None] > 0.0, words, module.text_embedding_padding)
    told = _told(module.time_extra_emb, batch["timesteps"], t5, batch.ports.get(META_SIZE.name))
    # Sides of the grid follow from the latents' alone: a trace has one expression for each.
    grid = module.pos_embed.proj(latents).reshape(latents.shape[0], -1, high * wide)
    tokens = _blocks(module, grid.transpose(1, 2), words, told, call)
    # A learnt variance stands behind the prediction.
    out = module.proj_out(module.norm_out(tokens, told.float()))
    return _latents(out, high, wide, config.patch_size)[:, : latents.shape[1]]


def _told(embedding: Any, times: Tensor, t5: Tensor, sizes: Tensor | None) -> Tensor:
    """What a row's blocks are told: its time, its text as a whole, sizes and style: (B, W).

    times: (B,) float32. sizes: (B, 6) pixels, of models that are told them.
    """
    known = [_pooled(embedding.pooler, t5)]
    if sizes is not None:
        waves = embedding.size_proj(sizes.flatten()).to(t5.dtype)
        # There is one style.
        style = embedding.style_embedder.weight.expand(t5.shape[0], -1)
        known += [waves.reshape(t5.shape[0], -1), style]
    time = embedding.timestep_embedder(embedding.time_proj(times).to(t5.dtype))
    told: Tensor = time + embedding.extra_embedder(torch.cat(known, dim=1))
    return told


def _pooled(pooler: Any, tokens: Tensor) -> Tensor:
    """tokens (B, T, D) -> (B, P): their mean attends to itself and to each of them.

    Diffusers' own uses a function of torch that cannot be traced for any number of rows.
    """
    tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
    tokens = tokens + pooler.positional_embedding.to(tokens.dtype)
    q, k, v = (
        x.unflatten(-1, (pooler.num_heads, -1)).transpose(1, 2)
        for x in (pooler.q_proj(tokens[:, :1]), pooler.k_proj(tokens), pooler.v_proj(tokens))
    )
    read = F.scaled_dot_product_attention(q, k, v)
    pooled: Tensor = pooler.c_proj(read.transpose(1, 2).flatten(1))
    return pooled


def _blocks(module: Any, tokens: Tensor, words: Tensor, told: Tensor, call: _Call) -> Tensor:
    """All blocks. What leaves an early one enters its counterpart on the other side too."""
    half = len(module.blocks) // 2
    skips: list[Tensor] = []
    for index, block in enumerate(module.blocks):
        if index > half:
            joined = torch.cat([tokens, skips.pop()], dim=-1)
            tokens = block.skip_linear(block.skip_norm(joined))
        tokens = tokens + block.attn1(block.norm1(tokens, told), call=call)
        tokens = tokens + block.attn2(block.norm2(tokens), words, call=call)
        tokens = tokens + block.ff(block.norm3(tokens))
        if index < half - 1:
            skips.append(tokens)
    return tokens


def _angles_of_call(
    module: Any, high: int, wide: int, read: Tensor, injection: Injection
) -> _Angles:
    """high, wide: of the picture's grid. read: (B,) bool, rows that others read."""
    shift = reference_shift(module.lafi_reference_positions, wide, read.device)[None, None, 1:]
    own = _angles(module.config, high * wide, wide, read[:, None, None] * shift)
    unmoved = _angles(module.config, high * wide, wide, torch.zeros_like(shift))
    bank = injection.bank if isinstance(injection, DenoiserBatch) else None
    if bank is None:
        return _Angles(own, unmoved, None)
    tokens, columns = bank.keys[0].shape[2], bank.mask.shape[-1] // module.config.patch_size
    return _Angles(own, unmoved, _angles(module.config, tokens, columns, shift))


def _angles(config: Any, tokens: int, wide: int, moved: Tensor) -> Tensor:
    """tokens: of a grid of `wide` columns. moved (N, 1, 2): by how many, down and along.

    Tokens stand on a square of fixed size, whose sides the longer side of a grid fills. Source:
    `get_resize_crop_region_for_grid` of diffusers' HunyuanDiTPipeline and
    `get_2d_rotary_pos_embed`, without the questions that a trace would have to answer.
    """
    # From the number of tokens alone, as a trace cannot know that a bank's is that of its grid.
    index = torch.arange(tokens, device=moved.device)
    down = index // wide
    # Not `index % wide`, which torch's ONNX exporter cannot write for a size that varies.
    grid = torch.stack([down, index - down * wide], dim=-1).to(torch.float32)
    counts = grid[-1] + 1.0
    side = _BASE_SIDE // VAE_SCALE // config.patch_size
    sizes = torch.round(side / counts.max() * counts)
    first = torch.round((side - sizes) / 2.0)
    last = (first + sizes) * (counts - 1.0) / counts
    step = (last - first) / (counts - 1.0).clamp(min=1.0)
    places = first + (grid + moved) * step
    half = config.attention_head_dim // 2
    # A head's first half of channels goes along a row, its second half down.
    return angles_of(places.flip(-1), rotary_speeds((half, half), _THETA))


def _latents(tokens: Tensor, high: int, wide: int, patch: int) -> Tensor:
    """tokens (B, high * wide, patch * patch * C), row by row -> (B, C, h, w)."""
    cells = tokens.reshape(tokens.shape[0], high, wide, patch, patch, -1)
    folded = cells.permute(0, 5, 1, 3, 2, 4)
    return folded.reshape(tokens.shape[0], -1, high * patch, wide * patch)
