"""Diffusers' own transformers with cross-attention, called as their pipelines call them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from diffusers import HunyuanDiT2DModel, PixArtTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb, get_2d_rotary_pos_embed
from diffusers.pipelines.hunyuandit.pipeline_hunyuandit import get_resize_crop_region_for_grid
from torch import Tensor

from lafi.ports.engines import DenoiserBatch

Stock = Callable[[Any, DenoiserBatch, slice], Tensor]
"""Some rows of a batch through diffusers' module -> their predictions."""


def stock_module(name: str, folder: Path) -> Any:
    """Diffusers' class of an architecture, with a folder's weights."""
    return _CLASSES[name].from_pretrained(folder / "transformer").eval().requires_grad_(False)


def stock_rows(name: str, module: Any, batch: DenoiserBatch, rows: slice) -> Tensor:
    """What diffusers' pipeline of an architecture takes for its prediction."""
    latents = batch["latents"][rows]
    return _CALLS[name](module, batch, rows).chunk(2, dim=1)[0].reshape(latents.shape)


def _pixart(module: Any, batch: DenoiserBatch, rows: slice) -> Tensor:
    told = {name: batch[name][rows] for name in ("resolution", "aspect_ratio")}
    return module(
        batch["latents"][rows],
        encoder_hidden_states=batch["text"][rows],
        encoder_attention_mask=batch["text_mask"][rows],
        timestep=batch["timesteps"][rows],
        added_cond_kwargs=told,
        return_dict=False,
    )[0]


def _hunyuan(module: Any, batch: DenoiserBatch, rows: slice) -> Tensor:
    latents, text, mask = (batch[name][rows] for name in ("latents", "text", "text_mask"))
    config = module.config
    grid = tuple(side // config.patch_size for side in latents.shape[2:])
    crop = get_resize_crop_region_for_grid(grid, 512 // 8 // config.patch_size)
    told = config.use_style_cond_and_image_meta_size
    return module(
        latents,
        batch["timesteps"][rows],
        encoder_hidden_states=text[:, :77, : config.cross_attention_dim],
        text_embedding_mask=mask[:, :77],
        encoder_hidden_states_t5=text[:, 77:, : config.cross_attention_dim_t5].contiguous(),
        text_embedding_mask_t5=mask[:, 77:],
        image_meta_size=batch["image_meta_size"][rows] if told else None,
        style=torch.zeros(len(latents), dtype=torch.int64),
        image_rotary_emb=get_2d_rotary_pos_embed(
            config.attention_head_dim, crop, grid, output_type="pt"
        ),
        return_dict=False,
    )[0]


_CLASSES: Final[Mapping[str, Any]] = {
    "pixart": PixArtTransformer2DModel,
    "hunyuan": HunyuanDiT2DModel,
}
_CALLS: Final[Mapping[str, Stock]] = {"pixart": _pixart, "hunyuan": _hunyuan}


@dataclass
class Kept:
    """Keys and values of a reference by layer, its tokens' weights, and what is done with them."""

    weights: Tensor
    bias: float
    writing: bool = True
    layers: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


class ConcatenatingProcessor:
    """Keeps a reference's keys and values, or appends them. Nothing of ours is in it.

    Keys are kept with the rotary positions of their own row.
    """

    def __init__(self, name: str, kept: Kept) -> None:
        self.name, self.kept = name, kept

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        image_rotary_emb: Any = None,
    ) -> Tensor:
        q, k, v = (
            to(hidden_states).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for to in (attn.to_q, attn.to_k, attn.to_v)
        )
        if attn.norm_q is not None:
            q, k = attn.norm_q(q), attn.norm_k(k)
        if image_rotary_emb is not None:
            q, k = (apply_rotary_emb(x, image_rotary_emb) for x in (q, k))
        rows, _, tokens, _ = q.shape
        offset = torch.zeros(tokens)
        if self.kept.writing:
            self.kept.layers[self.name] = k, v
        else:
            other_k, other_v = self.kept.layers[self.name]
            k = torch.cat([k, other_k.expand(rows, -1, -1, -1)], dim=2)
            v = torch.cat([v, other_v.expand(rows, -1, -1, -1)], dim=2)
            offset = torch.cat([offset, self.kept.weights.log() + self.kept.bias])
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=offset.expand(tokens, -1))
        return attn.to_out[0](out.transpose(1, 2).flatten(2))
