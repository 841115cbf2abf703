"""Diffusers' `PixArtTransformer2DModel` with routes as an argument of every call.

Its own forward cannot be exported for sides that vary. This one runs the same blocks, whose
attention takes what it is told beside its tokens.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from diffusers import PixArtTransformer2DModel
from torch import Tensor, nn

from lafi.engine.torch.attention import Collected, install_processors, packed_by_group
from lafi.engine.torch.joint_attention import LEFT_OUT
from lafi.engine.torch.text_stacks.pixart import TORCH_PIXART_TEXTS
from lafi.model.bank_groups import BankGroup
from lafi.model.families.pixart import ASPECT_RATIO, RESOLUTION
from lafi.model.info import ModelInfo
from lafi.model.input_port import TEXT, TEXT_MASK
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

_LONGEST_PERIOD: Final = 10000.0


class PatchesAnySize(nn.Module):
    """Diffusers' `PatchEmbed` with sines of positions computed for the size of each call.

    Can be traced with sides that vary; diffusers' own asks whether a side is the usual one.
    """

    def __init__(self, own: Any) -> None:
        """own: a `PatchEmbed` with sines of positions, whose projection is shared."""
        super().__init__()
        self.proj, self.patch = own.proj, own.patch_size
        self.span = own.base_size / own.interpolation_scale

    def forward(self, latents: Tensor) -> Tensor:
        """latents (B, C, h, w) -> tokens (B, S, W), row by row."""
        # Sides of the grid follow from the latents' alone: a trace has one expression for each.
        high, wide = (side // self.patch for side in latents.shape[2:])
        width = self.proj.out_channels
        grid = self.proj(latents).reshape(latents.shape[0], width, high * wide)
        along = self._waves(wide, width // 2, grid.device)[:, None].expand(-1, high, -1)
        down = self._waves(high, width // 2, grid.device)[..., None].expand(-1, -1, wide)
        waves = torch.cat([along, down]).reshape(width, high * wide)
        tokens: Tensor = (grid + waves).transpose(1, 2)
        return tokens.to(latents.dtype)

    def _waves(self, count: int, width: int, device: torch.device) -> Tensor:
        """(width, count): sines, then cosines of `count` positions over the usual span."""
        places = torch.arange(count, dtype=torch.float32, device=device) * self.span / count
        speeds = [_LONGEST_PERIOD ** (-2 * i / width) for i in range(width // 2)]
        angles = torch.tensor(speeds, device=device)[:, None] * places
        return torch.cat([angles.sin(), angles.cos()])


class PixArtAnySize(PixArtTransformer2DModel):
    """The same network and weights, with positions for pictures of any size."""

    # Diffusers reads the names of a config's fields from the constructor's signature.
    @functools.wraps(PixArtTransformer2DModel.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_module("pos_embed", PatchesAnySize(self.get_submodule("pos_embed")))


class TorchPixArt:
    """`TorchFamily` of PixArt-alpha and PixArt-Sigma."""

    name: Final = "pixart"
    part: Final = "transformer"
    module_class: Final = PixArtAnySize
    text: Final = TORCH_PIXART_TEXTS

    def install(self, module: Any, info: ModelInfo) -> None:
        """As `TorchFamily`."""
        install_processors(module, info.layers)

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        """As `TorchFamily`."""
        dtype, bank = module.dtype, batch.bank
        if bank is not None:
            keys, values = (tuple(x.to(dtype) for x in part) for part in (bank.keys, bank.values))
            bank = BankInputs(keys, values, bank.mask)
        return _run(module, batch, replace(batch, bank=bank))

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        """As `TorchFamily`, in the module's dtype."""
        collected = Collected()
        _run(module, batch, collected)
        return packed_by_group(collected, groups, batch.mask)


FAMILY: Final = TorchPixArt()


def _run(
    module: Any, batch: DenoiserBatch | ReferenceBatch, injection: DenoiserBatch | Collected
) -> Tensor:
    """injection: what self-attention reads, or writes to. Gives the prediction, (B, C, h, w)."""
    dtype, latents = module.dtype, batch["latents"]
    rows, channels, high, wide = latents.shape
    sizes = {port.name: batch.ports.get(port.name) for port in (RESOLUTION, ASPECT_RATIO)}
    told, time = module.adaln_single(batch["timesteps"], sizes, batch_size=rows, hidden_dtype=dtype)
    words = module.caption_projection(batch[TEXT].to(dtype))
    counting = ((batch[TEXT_MASK] - 1.0) * -LEFT_OUT).to(dtype)[:, None]
    tokens = module.pos_embed(latents.to(dtype))
    for block in module.transformer_blocks:
        tokens = block(
            tokens,
            encoder_hidden_states=words,
            encoder_attention_mask=counting,
            timestep=told,
            cross_attention_kwargs={"injection": injection},
        )
    shift, scale = (module.scale_shift_table + time[:, None]).chunk(2, dim=1)
    out = module.proj_out(module.norm_out(tokens) * (1 + scale) + shift)
    patch = module.config.patch_size
    cells = out.reshape(rows, high // patch, wide // patch, patch, patch, -1)
    # A learnt variance stands behind the prediction.
    kept: Tensor = cells[..., :channels].permute(0, 5, 1, 3, 2, 4)
    return kept.reshape(rows, channels, high, wide)
