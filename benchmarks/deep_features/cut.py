"""Counts what a UNet must still compute if the features of its deep blocks are kept.

A cut lies before one layer of the up path. The deep blocks' input to that layer is kept from an
earlier step. The skip connections of this layer and all later ones must be computed, and so every
down-block module up to the last of these skips. Knows a UNet's modules and shapes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lafi.board.injection import LayerPreset
from lafi.model.families.unet import first_injected_layer
from lafi.model.info import AttentionSite

CONDITIONS = ("time_embedding", "add_embedding")
"""Modules that every step runs, with or without a cut."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Before the resnet `layer` of up block `block`."""

    block: int
    layer: int

    @property
    def resnet(self) -> str:
        """The resnet whose input is the kept features joined with a skip connection."""
        return f"up_blocks.{self.block}.resnets.{self.layer}"


def cut_before(layers: Sequence[AttentionSite], preset: LayerPreset) -> Cut:
    """The last place before the first layer that `preset` injects."""
    name = layers[first_injected_layer(layers, preset)].name
    found = re.match(r"up_blocks\.(\d+)\.attentions\.(\d+)\.", name)
    if found is None:
        raise ValueError(f"preset: got {preset!r}, allowed one that starts in the up blocks")
    return Cut(int(found[1]), int(found[2]))


def down_path(unet: Any) -> list[list[str]]:
    """Names of modules, one list for each skip connection that they give, in forward order."""
    return [["conv_in"], *_path(unet.down_blocks, "down_blocks", "downsamplers")]


def up_path(unet: Any) -> list[list[str]]:
    """The same for the modules that take the skip connections, the last one first."""
    return [*_path(unet.up_blocks, "up_blocks", "upsamplers")]


def _path(blocks: Any, name: str, sampler: str) -> Iterator[list[str]]:
    for i, block in enumerate(blocks):
        for j in range(len(block.resnets)):
            attentions = getattr(block, "attentions", None)
            yield [f"{name}.{i}.resnets.{j}", *([f"{name}.{i}.attentions.{j}"] * bool(attentions))]
        if getattr(block, sampler, None):
            yield [f"{name}.{i}.{sampler}.0"]


def parts(unet: Any) -> list[str]:
    """All modules that compute something, in forward order."""
    conditions = [name for name in CONDITIONS if getattr(unet, name, None) is not None]
    down = [name for group in down_path(unet) for name in group]
    up = [name for group in up_path(unet) for name in group]
    return [*conditions, *down, "mid_block", *up, "conv_out"]


def still_run(unet: Any, cut: Cut) -> list[str]:
    """The modules that must still run if the features before `cut` are kept."""
    up = up_path(unet)
    place = next(i for i, group in enumerate(up) if group[0] == cut.resnet)
    skips = sum(".resnets." in group[0] for group in up[place:])
    kept = {name for group in [*down_path(unet)[skips:], *up[:place]] for name in group}
    return [name for name in parts(unet) if name not in kept and name != "mid_block"]


def kept_channels(unet: Any, cut: Cut) -> int:
    """Channels of the cut resnet's input that come before its skip connection."""
    resnets = [group[0] for group in up_path(unet) if ".resnets." in group[0]]
    place = resnets.index(cut.resnet)
    before = unet.get_submodule(resnets[place - 1]) if place else unet.mid_block.resnets[-1]
    return int(before.out_channels)


def flops(unet: nn.Module, **inputs: Tensor | dict[str, Tensor]) -> dict[str, int]:
    """Operations of each part in one call, two for a product and its sum; on any device, meta too.

    inputs: the UNet's own, without any reference.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        unet(**inputs)
    counts = counter.get_flop_counts()
    root = type(unet).__name__
    return {name: sum(counts.get(f"{root}.{name}", {}).values()) for name in parts(unet)}


def reference_flops(
    layers: Sequence[AttentionSite], preset: LayerPreset, cells: int
) -> dict[str, int]:
    """Additional operations of a row that reads one reference, by part; cells: of its latents."""
    more: dict[str, int] = {}
    for layer in layers[first_injected_layer(layers, preset) :]:
        part = layer.name.partition(".transformer_blocks.")[0]
        tokens = cells // layer.downscale**2
        more[part] = more.get(part, 0) + 4 * tokens**2 * layer.width
    return more


def share_left(unet: Any, cut: Cut, counted: dict[str, int]) -> float:
    """Share of a whole call's operations that a call with kept features still computes."""
    return sum(counted[name] for name in still_run(unet, cut)) / sum(counted.values())


def bound(share: float, interval: int) -> float:
    """The denoiser's speed-up if one step in `interval` is whole and nothing else takes time."""
    return interval / (1 + (interval - 1) * share)
