"""Diffusers' `FluxTransformer2DModel` with routes as an argument of every call.

Its processors hold constants alone: what a call reads goes in as `joint_attention_kwargs`. They
turn queries and keys themselves, because a row that others read may stand elsewhere than they do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from lafi.engine.torch.attention import Collected, packed_by_group
from lafi.engine.torch.joint_attention import (
    Beside,
    Injection,
    Site,
    heads_normed,
    joint_attention,
    read_rows,
    sites_by_name,
)
from lafi.engine.torch.rotary import Placing, grid_positions, rotary_speeds, rotated
from lafi.engine.torch.text_stacks.flux import FLUX_TORCH_TEXTS
from lafi.model.bank_groups import BankGroup
from lafi.model.families.flux import AXES, GUIDANCE, PATCH
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import BankInputs
from lafi.ports.denoiser_tensors import complete
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

_LAST_TIMESTEP: Final = 1000.0


class TorchFlux:
    """`TorchFamily` of FLUX.1."""

    name: Final = "flux"
    part: Final = "transformer"
    module_class: Final = FluxTransformer2DModel
    text: Final = FLUX_TORCH_TEXTS

    def install(self, module: Any, info: ModelInfo) -> None:
        """As `TorchFamily`."""
        speeds = rotary_speeds(module.config.axes_dims_rope, module.pos_embed.theta)
        module.lafi_placing = Placing(info.reference_positions, speeds)
        for name, site in sites_by_name(info.layers).items():
            module.get_submodule(name).set_processor(FluxProcessor(site))

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        """As `TorchFamily`."""
        return _run(module, batch, batch)

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        """As `TorchFamily`, in the module's dtype."""
        collected = Collected()
        _run(module, batch, collected)
        return packed_by_group(collected, groups, batch.mask)


FAMILY: Final = TorchFlux()


@dataclass(frozen=True, slots=True)
class Call:
    """What every block's attention gets besides its tokens.

    text     tokens of the text, which stand before the picture's
    angles   (B, T + S, d / 2) of all tokens
    entries  angles at which entries of the bank are read; None without a bank
    """

    text: int
    angles: Tensor
    injection: Injection
    entries: Tensor | None


class FluxProcessor:
    """The attention of a block, whose text is given by itself (double) or with the picture."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
        call: Call | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """hidden_states (B, S, C), encoder_hidden_states (B, T, C) -> both; or all tokens together.

        attention_mask: always None in FLUX. image_rotary_emb: not used, `call` has the positions.
        """
        assert call is not None
        heads = attn.heads
        layers, norms = (attn.to_q, attn.to_k, attn.to_v), (attn.norm_q, attn.norm_k)
        q, k, v = _projected(hidden_states, layers, norms, heads)
        if encoder_hidden_states is not None:
            layers = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
            norms = (attn.norm_added_q, attn.norm_added_k)
            text = _projected(encoder_hidden_states, layers, norms, heads)
            q, k, v = (torch.cat(pair, dim=1) for pair in zip(text, (q, k, v), strict=True))
        if isinstance(call.injection, Collected):
            call.injection[self.site.index] = (k[:, call.text :], v[:, call.text :])
        q, k = (rotated(x, call.angles, heads) for x in (q, k))
        beside = Beside(before=call.text)
        read = joint_attention(q, k, v, heads, self.site, beside, call.injection, call.entries)
        if encoder_hidden_states is None:
            return read
        words, picture = read[:, : call.text], read[:, call.text :]
        # to_out is the projection, then a dropout, which does nothing at inference.
        return attn.to_out[1](attn.to_out[0](picture)), attn.to_add_out(words)


def _projected(
    x: Tensor, layers: Sequence[Any], norms: Sequence[Any], heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, N, C) -> queries and keys, normed over d, and values, (B, N, heads * d) each."""
    q, k, v = (layer(x) for layer in layers)
    q, k = (heads_normed(y, heads, norm) for y, norm in zip((q, k), norms, strict=True))
    return q, k, v


def _run(module: Any, batch: DenoiserBatch | ReferenceBatch, injection: Injection) -> Tensor:
    """A forward pass; injection: what attention reads, or writes to. Gives noise - picture."""
    dtype, text = module.dtype, batch["text"]
    tokens, high, wide = _packed(batch["latents"].to(dtype))
    placing = module.lafi_placing
    bank = injection.bank if isinstance(injection, DenoiserBatch) else None
    # Text stands at 0 on all axes.
    words = torch.zeros(1, text.shape[1], AXES, device=text.device)
    places = torch.cat([words, grid_positions(high, wide, text.device)], dim=1)
    angles = placing.angles(places + placing.shifts(read_rows(batch), wide))
    entries = None if bank is None else placing.of_entries(bank.mask, PATCH)
    call = Call(text.shape[1], angles, injection, entries)
    guidance = None
    if module.config.guidance_embeds:
        guidance = complete(batch.ports, (GUIDANCE,))[GUIDANCE.name]
    # The network's own positions are left unused, so one of them is enough.
    nowhere = torch.zeros(1, AXES, device=text.device)
    (prediction,) = module(
        hidden_states=tokens,
        encoder_hidden_states=text.to(dtype),
        pooled_projections=batch["pooled"].to(dtype),
        timestep=batch["timesteps"] / _LAST_TIMESTEP,
        img_ids=nowhere,
        txt_ids=nowhere,
        guidance=guidance,
        joint_attention_kwargs={"call": call},
        return_dict=False,
    )
    return _unpacked(prediction, high, wide)


def _packed(latents: Tensor) -> tuple[Tensor, int, int]:
    """latents (B, C, h, w) -> (B, S, 4 C), and the rows and columns of tokens."""
    rows, channels, high, wide = latents.shape
    high, wide = high // PATCH, wide // PATCH
    cells = latents.reshape(rows, channels, high, PATCH, wide, PATCH)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(rows, high * wide, -1), high, wide


def _unpacked(tokens: Tensor, high: int, wide: int) -> Tensor:
    """The inverse of `_packed`."""
    rows = tokens.shape[0]
    cells = tokens.reshape(rows, high, wide, -1, PATCH, PATCH)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(rows, -1, high * PATCH, wide * PATCH)
