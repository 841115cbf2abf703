"""Diffusers' `SD3Transformer2DModel` with routes as an argument of every call.

Its processors hold constants alone: what a call reads goes in as `joint_attention_kwargs`.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

from lafi.engine.torch.attention import Collected, packed_by_group
from lafi.engine.torch.joint_attention import (
    Beside,
    Injection,
    Site,
    heads_normed,
    joint_attention,
    sites_by_name,
)
from lafi.engine.torch.text_stacks.sd3 import SD3_TORCH_TEXTS
from lafi.model.bank_groups import BankGroup
from lafi.model.info import ModelInfo
from lafi.model.text_stacks.clip_beside_t5 import CLIP_LENGTH
from lafi.model.text_stacks.sd3 import SD3_T5_LENGTH
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch


class TorchSd3:
    """`TorchFamily` of SD3 and SD3.5."""

    name: Final = "sd3"
    part: Final = "transformer"
    module_class: Final = SD3Transformer2DModel
    text: Final = SD3_TORCH_TEXTS

    def install(self, module: Any, info: ModelInfo) -> None:
        """As `TorchFamily`."""
        for name, site in sites_by_name(info.layers).items():
            module.get_submodule(name).set_processor(Sd3Processor(site))

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        """As `TorchFamily`."""
        return _run(module, batch, batch)

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        """As `TorchFamily`, in the module's dtype."""
        collected = Collected()
        _run(module, batch, collected)
        return packed_by_group(collected, groups, batch.mask)


FAMILY: Final = TorchSd3()


class Sd3Processor:
    """The attention of a block: the picture's tokens, and after them the text's if it has any."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        injection: Injection = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """hidden_states (B, S, C), encoder_hidden_states (B, T, C) -> both, or the first alone.

        attention_mask: always None in SD3.
        """
        layers: Any = attn
        q, k, v = (layer(hidden_states) for layer in (layers.to_q, layers.to_k, layers.to_v))
        q = heads_normed(q, attn.heads, layers.norm_q)
        k = heads_normed(k, attn.heads, layers.norm_k)
        if isinstance(injection, Collected):
            injection[self.site.index] = (k, v)
        picture = q.shape[1]
        beside = Beside()
        if encoder_hidden_states is not None:
            text = (layers.add_q_proj, layers.add_k_proj, layers.add_v_proj)
            text_q, text_k, text_v = (layer(encoder_hidden_states) for layer in text)
            text_q = heads_normed(text_q, attn.heads, layers.norm_added_q)
            text_k = heads_normed(text_k, attn.heads, layers.norm_added_k)
            q, k, v = (torch.cat(pair, dim=1) for pair in ((q, text_q), (k, text_k), (v, text_v)))
            beside = Beside(after=encoder_hidden_states.shape[1])
        read = joint_attention(q, k, v, attn.heads, self.site, beside, injection)
        # to_out is the projection, then a dropout, which does nothing at inference.
        out: Tensor = layers.to_out[1](layers.to_out[0](read[:, :picture]))
        if encoder_hidden_states is None:
            return out
        words = read[:, picture:]
        return out, words if attn.context_pre_only else layers.to_add_out(words)


def _run(module: Any, batch: DenoiserBatch | ReferenceBatch, injection: Injection) -> Tensor:
    """A forward pass; injection: what attention reads, or writes to. Gives noise - picture."""
    dtype = module.dtype
    (prediction,) = module(
        hidden_states=batch["latents"].to(dtype),
        encoder_hidden_states=_with_t5(batch["text"].to(dtype), module.config.joint_attention_dim),
        pooled_projections=batch["pooled"].to(dtype),
        timestep=batch["timesteps"],
        joint_attention_kwargs={"injection": injection},
        return_dict=False,
    )
    predicted: Tensor = prediction
    return predicted


def _with_t5(text: Tensor, width: int) -> Tensor:
    """(B, CLIP_LENGTH + SD3_T5_LENGTH, width): a text without T5's tokens has zeros for them.

    text: as `Sd3Texts` gives it. Source: diffusers' StableDiffusion3Pipeline without
    text_encoder_3.
    """
    tokens, channels = text.shape[1:]
    if tokens > CLIP_LENGTH:
        return text
    return F.pad(text, (0, width - channels, 0, SD3_T5_LENGTH))
