"""Makes a diffusers folder of a T2I-Adapter in one file.

A file has no config: the shapes of its tensors tell it, and the model's UNet what they do not.
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from diffusers import T2IAdapter, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from lafi.engine.torch.control_fit import complete_config, folder_problems
from lafi.model.checkpoint import CheckpointError, read_model_info

_OURS: Final = "adapter.body."
_FULL: Final = re.compile(r"body\.(\d+)\.(in_conv|block1|block2)\.(weight|bias)")
_LIGHT: Final = re.compile(r"body\.(\d+)\.body\.(\d+)\.(block[12]\.(?:weight|bias))")
"""Names of blocks in the authors' files, of full adapters and of light ones."""
_LEVELS: Final = 4
"""Widths of a full adapter of the authors, each with the same number of blocks."""
_BLOCK: Final = re.compile(r"adapter\.body\.(\d+)\.resnets\.(\d+)\.block1\.weight")
_TYPES: Final = ("full_adapter_xl", "full_adapter")
"""Types with the same tensors: what tells them apart is which of them fits the UNet."""


def is_control_adapter(names: Collection[str]) -> bool:
    """Whether these are a T2I-Adapter's tensors, with the names of diffusers or of its authors."""
    return any(
        name.startswith(_OURS) or _FULL.fullmatch(name) or _LIGHT.fullmatch(name) for name in names
    )


def write_adapter_folder(
    where: str, tensors: Mapping[str, Tensor], checkpoint: Path, folder: Path
) -> None:
    """Writes the folder of the adapter that these tensors are. where: begins the error's text.

    checkpoint: the prepared folder of the model. Raises CheckpointError.
    """
    if not any(name.startswith(_OURS) for name in tensors):
        tensors = _renamed(tensors)
    try:
        config = _config(tensors)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{where}: got a T2I-Adapter without {error}") from error
    folder.mkdir()
    save_file(
        {name: value.contiguous() for name, value in tensors.items()},
        folder / "diffusion_pytorch_model.safetensors",
    )
    unet = complete_config(UNet2DConditionModel, checkpoint / "unet")
    info = read_model_info(checkpoint)
    for kind in [config["adapter_type"]] if "adapter_type" in config else _TYPES:
        (folder / "config.json").write_text(json.dumps({**config, "adapter_type": kind}))
        if not folder_problems(folder, unet, info):
            return


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of the authors' names those of diffusers."""
    blocks = [int(found[1]) for name in tensors if (found := _FULL.fullmatch(name))]
    each = max(1, (1 + max(blocks, default=0)) // _LEVELS)
    light = any(_LIGHT.fullmatch(name) for name in tensors)

    def renamed(name: str) -> str:
        if found := _LIGHT.fullmatch(name):
            return f"body.{found[1]}.resnets.{found[2]}.{found[3]}"
        if light or not (found := _FULL.fullmatch(name)):
            return name
        level, block = divmod(int(found[1]), each)
        inside = "" if found[2] == "in_conv" else f"resnets.{block}."
        return f"body.{level}.{inside}{found[2]}.{found[3]}"

    return {f"adapter.{renamed(name)}": value for name, value in tensors.items()}


def _config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the shapes tell; the type where they tell it. Raises KeyError, or ValueError."""
    blocks = [match for name in tensors if (match := _BLOCK.fullmatch(name))]
    if not blocks:
        raise ValueError("its blocks")
    # Counted, so that a number in a name makes nothing large.
    count = len({block[1] for block in blocks})
    config: dict[str, Any] = {
        "_class_name": T2IAdapter.__name__,
        "num_res_blocks": len({block[2] for block in blocks}),
    }
    if "adapter.conv_in.weight" in tensors:
        seen = _width(tensors, "conv_in", 1)
        widths = [_width(tensors, f"body.{block}.resnets.0.block1") for block in range(count)]
    else:
        seen = _width(tensors, "body.0.in_conv", 1)
        # The last width is given twice.
        widths = [_width(tensors, f"body.{block}.out_conv") for block in range(count - 1)]
        config["adapter_type"] = "light_adapter"
    channels = 1 if math.isqrt(seen) ** 2 == seen else 3
    factor = math.isqrt(seen // channels)
    return config | {"channels": widths, "in_channels": channels, "downscale_factor": factor}


def _width(tensors: Mapping[str, Tensor], layer: str, axis: int = 0) -> int:
    return int(tensors[f"adapter.{layer}.weight"].shape[axis])
