"""SD1.5, SD2.1 and SDXL with routes, against diffusers' UNet and a plainly written processor."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor

from lafi.board.injection import LayerPreset
from lafi.engine.torch.engines import TorchDenoiser
from lafi.model.checkpoint import read_model_info
from lafi.model.families.unet import first_injected_layer, self_attention_layers
from lafi.ports.engines import DenoiserBatch

SIDE = 16


@dataclass
class Kept:
    """Keys and values of the reference by layer, and whether they are being kept or read."""

    writing: bool = True
    layers: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


class ConcatenatingProcessor:
    """Keeps the keys and values of a reference, or appends them, weighted by its foreground."""

    def __init__(self, name: str, kept: Kept, mask: Tensor) -> None:
        self.name, self.kept, self.mask = name, kept, mask

    def __call__(self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        q, k, v = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        rows, tokens, _ = q.shape
        offset = torch.zeros(tokens)
        if self.kept.writing:
            self.kept.layers[self.name] = k, v
        else:
            cells = round((self.mask.numel() / tokens) ** 0.5)
            grid = self.mask.unflatten(0, (-1, cells)).unflatten(2, (-1, cells))
            weights = grid.mean(dim=(1, 3)).flatten()
            other_k, other_v = self.kept.layers[self.name]
            k = torch.cat([k, other_k.expand(rows, -1, -1)], dim=1)
            v = torch.cat([v, other_v.expand(rows, -1, -1)], dim=1)
            offset = torch.cat([offset, weights.log()])
        q, k, v = (x.unflatten(2, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=offset.expand(tokens, -1))
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


@pytest.fixture(scope="module", params=["sd15", "sd21", "sdxl"])
def folder(request: pytest.FixtureRequest, small_checkpoints: Callable[[str], Path]) -> Path:
    return small_checkpoints(request.param)


@pytest.fixture(scope="module")
def stock(folder: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(folder / "unet").eval()


@pytest.fixture(scope="module")
def denoiser(folder: Path) -> TorchDenoiser:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    return TorchDenoiser(unet, read_model_info(folder))


@pytest.fixture(scope="module")
def batch(stock: UNet2DConditionModel) -> DenoiserBatch:
    """Two rows of a panel and their reference, which has no foreground at its left."""
    gen = torch.Generator().manual_seed(0)
    config, layers = stock.config, self_attention_layers(stock)
    sdxl = config.addition_embed_type == "text_time"
    pooled = 96 if sdxl else 0
    mask = torch.ones(3, SIDE, SIDE)
    mask[2, :, : SIDE // 2] = 0.0
    mask[2, :, SIDE // 2] = 0.5
    sizes = torch.tensor([[128.0, 128, 0, 0, 128, 128]])
    added = {
        "pooled": torch.randn(3, pooled, generator=gen),
        "time_ids": sizes.repeat(3, 1),
    }
    return DenoiserBatch(
        {
            "latents": torch.randn(3, 4, SIDE, SIDE, generator=gen),
            "timesteps": torch.tensor([700.0, 700.0, 300.0]),
            "text": torch.randn(3, 77, config.cross_attention_dim, generator=gen),
            "routes": torch.full((len(layers), 3, 1), -1, dtype=torch.int32),
            "bias": torch.zeros(3, 1),
            "mask": mask,
            "region": torch.ones(3, 1, SIDE, SIDE),
            **(added if sdxl else {}),
        },
    )


def plain(unet: UNet2DConditionModel, batch: DenoiserBatch, rows: slice) -> Tensor:
    added = None
    if "pooled" in batch.ports:
        added = {
            "text_embeds": batch.ports["pooled"][rows],
            "time_ids": batch.ports["time_ids"][rows],
        }
    return unet(
        batch["latents"][rows],
        batch["timesteps"][rows],
        batch["text"][rows],
        added_cond_kwargs=added,
    ).sample


@pytest.mark.parametrize("preset", ["none", "all", "decoder", "balanced", "texture"])
@torch.no_grad()
def test_every_preset_is_a_concatenation_in_its_layers(
    stock: UNet2DConditionModel, denoiser: TorchDenoiser, batch: DenoiserBatch, preset: LayerPreset
) -> None:
    layers = self_attention_layers(stock)
    start = first_injected_layer(layers, preset)
    batch["routes"][:] = -1
    batch["routes"][start:, :2] = 2
    kept, before = Kept(), stock.attn_processors
    injected = {f"{layer.name}.processor" for layer in layers[start:]}
    stock.set_attn_processor(
        {
            name: ConcatenatingProcessor(name, kept, batch["mask"][2])
            if name in injected
            else other
            for name, other in before.items()
        }
    )
    try:
        reference = plain(stock, batch, slice(2, 3))
        kept.writing = False
        panels = plain(stock, batch, slice(0, 2))
    finally:
        stock.set_attn_processor(before)
    got = denoiser(batch)
    torch.testing.assert_close(got, torch.cat([panels, reference]), rtol=0.0, atol=2e-5)
    untouched = plain(stock, batch, slice(0, 2))
    changed = (panels - untouched).abs().amax(dim=(1, 2, 3)).min()
    assert changed == 0.0 if preset == "none" else changed > 1e-3
