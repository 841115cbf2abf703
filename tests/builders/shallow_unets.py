"""Published UNets that a test can trace and build in seconds: small widths, two levels of blocks.

What tells one from another stays: kinds of blocks, heads, projections, conditions, text encoders.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lafi.model.architectures.architecture import Architecture
from lafi.model.architectures.registry import ArchitectureName, architecture
from lafi_export.random_checkpoint import write_checkpoint

_PER_LEVEL: Final = (
    "attention_head_dim",
    "block_out_channels",
    "down_block_types",
    "transformer_layers_per_block",
)
"""Fields of a UNet's config that list a value for each level, from the first to the deepest."""


def shallow_unet(name: ArchitectureName, folder: Path) -> Architecture:
    """Writes a checkpoint of SD1.5, SD2.1 or SDXL, fp32, with four layers of self-attention."""
    small = architecture(name, "small")
    unet: dict[str, Any] = dict(small.configs["unet"])
    levels = len(unet["block_out_channels"])
    # The first and the deepest: attention is in one of them alone, as in the whole model.
    for field in _PER_LEVEL:
        if isinstance(unet.get(field), list) and len(unet[field]) == levels:
            unet[field] = [unet[field][0], unet[field][-1]]
    if "transformer_layers_per_block" in unet:
        unet["transformer_layers_per_block"] = [1, 1]
    unet["up_block_types"] = [kind.replace("Down", "Up") for kind in unet["down_block_types"][::-1]]
    unet["layers_per_block"] = 1
    chosen = replace(small, configs={**small.configs, "unet": unet})
    write_checkpoint(chosen, folder)
    return chosen
