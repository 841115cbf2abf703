"""Small random control networks and adapters for a checkpoint's UNet, as diffusers saves them."""

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel

from lafi.model.checkpoint import read_model_info


def random_control(checkpoint: Path, folder: Path, seed: int, **changes: Any) -> Path:
    """Writes the folder of one. changes: of its config.

    What diffusers begins with zeros, so that nothing is added, is random too.
    """
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(checkpoint / "unet"))
    halvings = read_model_info(checkpoint).vae_scale.bit_length() - 1
    made = ControlNetModel.from_unet(
        unet,
        conditioning_embedding_out_channels=tuple(8 * (i + 1) for i in range(halvings + 1)),
        load_weights_from_unet=False,
    )
    if changes:
        # Of what it lists as left at its default, diffusers takes no other value.
        config = {n: v for n, v in made.config.items() if n != "_use_default_values"}
        made = ControlNetModel.from_config({**config, **changes})
    for name, parameter in made.named_parameters():
        if "controlnet_" in name and not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.3)
    made.save_pretrained(folder)
    return folder


def random_adapter(checkpoint: Path, folder: Path, seed: int, **changes: Any) -> Path:
    """Writes the folder of a T2I-Adapter for a checkpoint's UNet. changes: of its config."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.load_config(checkpoint / "unet")
    scale = read_model_info(checkpoint).vae_scale
    widths = list(unet["block_out_channels"])
    config: dict[str, Any] = {"channels": widths, "downscale_factor": scale, "num_res_blocks": 1}
    if unet["down_block_types"][0] == "DownBlock2D":
        # SDXL, whose last features go to the middle.
        widths.append(widths[-1])
        config |= {"adapter_type": "full_adapter_xl", "downscale_factor": 2 * scale}
    made = T2IAdapter(**{**config, **changes})
    for name, parameter in made.named_parameters():
        # Strong enough to be seen.
        if name.endswith("block2.weight"):
            parameter.data *= 4.0
    made.save_pretrained(folder)
    return folder
