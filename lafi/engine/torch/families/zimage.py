"""Diffusers' `ZImageTransformer2DModel` over whole batches, with routes as an argument.

Its own forward takes lists of tensors of different sizes. This one runs the same submodules over
rows of one size, and gives what it gives, up to rounding:
- Only differences of rotary positions count within a row, so every picture stands at 0 on the
  first axis and its text before it, whatever the text's length. References then stand at one
  place for all panels.
- A picture is padded to whole multiples of 32 tokens, all of which are alike in every layer. One
  token stands for them all: what n equal tokens weigh, one weighs with log(n) added to its logit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import ZImageTransformer2DModel
from torch import Tensor

from lafi.engine.torch.attention import Collected, packed_by_group
from lafi.engine.torch.joint_attention import (
    LEFT_OUT,
    Beside,
    Injection,
    Site,
    heads_normed,
    joint_attention,
    read_rows,
    sites_by_name,
)
from lafi.engine.torch.rotary import Placing, grid_positions, rotary_speeds, rotated
from lafi.engine.torch.text_stacks.qwen import QWEN_TEXTS
from lafi.model.bank_groups import BankGroup
from lafi.model.families.zimage import PATCH
from lafi.model.info import ModelInfo
from lafi.model.text_stacks.qwen_reader import MULTIPLE
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

_LAST_TIMESTEP: Final = 1000.0
_FREQUENCIES: Final = 256
"""Channels of a time's sines and cosines."""
_LONGEST_PERIOD: Final = 10000.0


class TorchZImage:
    """`TorchFamily` of Z-Image."""

    name: Final = "zimage"
    part: Final = "transformer"
    module_class: Final = ZImageTransformer2DModel
    text: Final = QWEN_TEXTS

    def install(self, module: Any, info: ModelInfo) -> None:
        """As `TorchFamily`."""
        sites = sites_by_name(info.layers)
        speeds = rotary_speeds(module.axes_dims, module.rope_theta)
        for blocks in (module.noise_refiner, module.context_refiner, module.layers):
            for block in blocks:
                block.attention.set_processor(_Processor())
        module.lafi_placing = Placing(info.reference_positions, speeds)
        for name, site in sites.items():
            module.get_submodule(name).processor.site = site

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        """As `TorchFamily`."""
        return _run(module, batch, batch)

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        """As `TorchFamily`, in the module's dtype."""
        collected = Collected()
        _run(module, batch, collected)
        return packed_by_group(collected, groups, batch.mask)


FAMILY: Final = TorchZImage()


@dataclass(frozen=True, slots=True)
class _Call:
    """What the attention of a block gets besides its tokens.

    angles   (B, N, d / 2) of all tokens
    picture  how many of them, the first, are the picture's
    entries  angles at which entries of the bank are read; None without a bank
    """

    angles: Tensor
    beside: Beside
    picture: int
    injection: Injection = None
    entries: Tensor | None = None


class _Processor:
    """The attention of a block. Diffusers' blocks hand a call on as `freqs_cis`, unread."""

    def __init__(self, site: Site | None = None) -> None:
        """site: None for a block without picture tokens."""
        self.site = site

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        freqs_cis: _Call | None = None,
    ) -> Tensor:
        assert freqs_cis is not None
        call, heads = freqs_cis, attn.heads
        q = heads_normed(attn.to_q(hidden_states), heads, attn.norm_q)
        k = heads_normed(attn.to_k(hidden_states), heads, attn.norm_k)
        v = attn.to_v(hidden_states)
        injection = call.injection if self.site is not None else None
        if isinstance(injection, Collected):
            assert self.site is not None
            injection[self.site.index] = (k[:, : call.picture], v[:, : call.picture])
        q, k = (rotated(x, call.angles, heads) for x in (q, k))
        site = self.site or _NOWHERE
        read = joint_attention(q, k, v, heads, site, call.beside, injection, call.entries)
        out: Tensor = attn.to_out[0](read)
        return out


_NOWHERE: Final = Site(index=-1, downscale=1, place=(-1, -1))
"""Stands for the site of a block that reads nothing."""


def _run(module: Any, batch: DenoiserBatch | ReferenceBatch, injection: Injection) -> Tensor:
    """injection: what attention reads, or writes to. Gives noise - picture, (B, C, h, w)."""
    dtype, placing = module.dtype, module.lafi_placing
    bank = injection.bank if isinstance(injection, DenoiserBatch) else None
    entries = None if bank is None else placing.of_entries(bank.mask, PATCH)
    patches, high, wide = _patches(batch["latents"].to(dtype))
    picture, device = high * wide, patches.device
    shifts = placing.shifts(read_rows(batch), wide)
    texts = _Texts.of(batch["text_mask"].float())
    told = _time(module, 1.0 - batch["timesteps"].float() / _LAST_TIMESTEP).to(dtype)

    tokens = module.all_x_embedder[f"{PATCH}-1"](patches)
    padding = module.x_pad_token.to(dtype)[None].expand(tokens.shape[0], 1, -1)
    tokens = torch.cat([tokens, padding], dim=1)
    first = torch.tensor([1.0, 0.0, 0.0], device=device)
    # What pads a picture stands at 0 on all axes where the picture's first axis counts the text.
    pad_place = -(texts.padded + 1.0)[:, None, None] * first
    places = torch.cat([grid_positions(high, wide, device) + 0.0 * pad_place, pad_place], 1)
    picture_angles = placing.angles(places + shifts)
    weight = _padding_weight(tokens[0, :picture, 0])
    offsets = torch.nn.functional.pad(weight, (picture, 0)).expand(tokens.shape[0], -1)
    call = _Call(picture_angles, Beside(0, 1, offsets), picture, injection, entries)
    for block in module.noise_refiner:
        tokens = block(tokens, None, call, told)

    words = module.cap_embedder(batch["text"].to(dtype))
    words = torch.where(texts.counting[..., None], words, module.cap_pad_token.to(dtype))
    text_angles = placing.angles(texts.places[..., None] * first + shifts)
    alone = _Call(text_angles, Beside(0, 0, texts.offsets), 0)
    for block in module.context_refiner:
        words = block(words, None, alone)

    beside = Beside(0, 1 + words.shape[1], torch.cat([offsets, texts.offsets], dim=1))
    angles = torch.cat([picture_angles, text_angles], dim=1)
    call = _Call(angles, beside, picture, injection, entries)
    joined = torch.cat([tokens, words], dim=1)
    for block in module.layers:
        joined = block(joined, None, call, told)
    out = module.all_final_layer[f"{PATCH}-1"](joined[:, :picture], c=told)
    return -_latents(out, high, wide)


@dataclass(frozen=True, slots=True)
class _Texts:
    """Rows' texts: what counts, what pads, and where each token stands before its picture.

    counting  (B, T) bool, tokens of the text itself
    padded    (B,) float32, tokens with those that pad to a whole multiple of 32
    places    (B, T) float32, on the first axis: -1 is the last before the picture
    offsets   (B, T) float32, 0, or LEFT_OUT for what pads beyond that multiple
    """

    counting: Tensor
    padded: Tensor
    places: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, text_mask: Tensor) -> "_Texts":
        """text_mask: (B, T), 1 where a token counts; those come first."""
        index = torch.arange(text_mask.shape[1], device=text_mask.device, dtype=torch.float32)
        padded = MULTIPLE * torch.ceil(text_mask.sum(dim=1) / MULTIPLE)
        places = index[None] - padded[:, None]
        # A row without any text has a whole multiple of padding too, as no text has none.
        left_out = torch.where(places < 0.0, 0.0, LEFT_OUT)
        return cls(text_mask > 0.0, padded, places, left_out)


def _padding_weight(tokens: Tensor) -> Tensor:
    """tokens (S,) -> (1, 1): log of the number that pads them to a multiple of 32, or LEFT_OUT."""
    count = torch.ones_like(tokens, dtype=torch.float32).sum()
    missing = MULTIPLE * torch.ceil(count / MULTIPLE) - count
    weight = torch.where(missing > 0.0, missing.clamp(min=1.0).log(), LEFT_OUT)
    return weight.reshape(1, 1)


def _time(module: Any, share: Tensor) -> Tensor:
    """share (B,) float32, 1 is the picture -> the time's embedding, (B, W)."""
    half = _FREQUENCIES // 2
    index = torch.arange(half, device=share.device, dtype=torch.float32)
    speeds = _LONGEST_PERIOD ** (-index / half)
    angles = share[:, None] * module.t_scale * speeds
    waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
    told: Tensor = module.t_embedder.mlp(waves.to(module.t_embedder.mlp[0].weight.dtype))
    return told


def _patches(latents: Tensor) -> tuple[Tensor, int, int]:
    """latents (B, C, h, w) -> (B, S, 4 C), and the rows and columns of tokens."""
    rows, channels, high, wide = latents.shape
    high, wide = high // PATCH, wide // PATCH
    cells = latents.reshape(rows, channels, high, PATCH, wide, PATCH)
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(rows, high * wide, -1), high, wide


def _latents(tokens: Tensor, high: int, wide: int) -> Tensor:
    """The inverse of `_patches`."""
    rows = tokens.shape[0]
    cells = tokens.reshape(rows, high, wide, PATCH, PATCH, -1)
    return cells.permute(0, 5, 1, 3, 2, 4).reshape(rows, -1, high * PATCH, wide * PATCH)
