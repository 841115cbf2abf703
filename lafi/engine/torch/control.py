"""Diffusers' `ControlNetModel` as a `ControlNetwork`: its picture once, the rest at each step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from lafi.engine.torch.device import bring, current, give_back, place
from lafi.model.checkpoint import CheckpointError, files_sha256, weight_files, weights_variant
from lafi.model.config_problems import Config
from lafi.model.control_fit import control_problems, with_controls
from lafi.model.control_info import CONDITION, SCALE, ControlInfo
from lafi.model.info import ModelInfo


class ControlCondition(nn.Module):
    """pictures RGB (B, 3, H, W) in [0, 1] -> condition (B, C, h, w)."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        # By its name in diffusers' class, so that weights keep theirs.
        self.controlnet_cond_embedding = embedding

    def forward(self, pictures: Tensor) -> Tensor:
        condition: Tensor = self.controlnet_cond_embedding(pictures)
        return condition


def split(module: ControlNetModel) -> tuple[ControlCondition, ControlNetModel]:
    """The part that sees the picture, and the rest, which takes what that makes of it."""
    first = ControlCondition(module.controlnet_cond_embedding)
    module.controlnet_cond_embedding = nn.Identity()
    return first, module


def run_network(module: Any, rows: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """rows: as `lafi.model.control_info.network_ports`, on the module's device -> residuals there.

    module: the second part of a `split`.
    """
    dtype, added = module.dtype, {}
    if "pooled" in rows:
        pooled, time_ids = rows["pooled"].to(dtype), rows["time_ids"]
        added = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": time_ids}}
    skips, middle = module(
        rows["latents"].to(dtype),
        rows["timesteps"],
        rows["text"].to(dtype),
        controlnet_cond=rows[CONDITION].to(dtype),
        conditioning_scale=rows[SCALE].to(dtype)[:, None, None, None],
        return_dict=False,
        **added,
    )
    return (*skips, middle)


class TorchControlNetwork:
    """`lafi.ports.control.ControlNetwork`."""

    def __init__(self, condition: ControlCondition, network: Any) -> None:
        """condition, network: the parts of a `split`, on the device that they run on."""
        self._condition = condition
        self._network = network

    @torch.no_grad()
    def condition(self, pictures: Tensor) -> Tensor:
        """As the protocol."""
        device, dtype = self._network.device, self._network.dtype
        with current(device):
            return give_back(self._condition(bring(pictures, device, dtype)), pictures)

    @torch.no_grad()
    def residuals(self, rows: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """As the protocol."""
        device, like = self._network.device, rows["latents"]
        with current(device):
            there = {name: bring(value, device) for name, value in rows.items()}
            return tuple(give_back(made, like) for made in run_network(self._network, there))


def with_torch_controls(
    info: ModelInfo, checkpoint: Path, folders: Mapping[str, Path]
) -> ModelInfo:
    """The facts of a checkpoint with the control networks in these folders, by name.

    info: its facts without. Raises CheckpointError for a folder that is no control network, or one
    for another model; the text says of each what does not fit.
    """
    if not folders:
        return info
    if info.family != "unet":
        raise CheckpointError(
            f"control: got {', '.join(folders)} for {info.name} of the family {info.family}, "
            "allowed with the UNets of SD1.5, SD2.1 and SDXL"
        )
    unet = complete_config(UNet2DConditionModel, Path(checkpoint) / "unet")
    problems = [
        f"control {name}: {folder}: {line}"
        for name, folder in folders.items()
        for line in control_problems(complete_config(ControlNetModel, folder), unet, info)
    ]
    if problems:
        raise CheckpointError("; ".join(problems))
    facts = [
        ControlInfo(name=name, weights_sha256=files_sha256(folder, weight_files(folder)))
        for name, folder in folders.items()
    ]
    return with_controls(info, unet, facts)


def load_control(folder: Path, dtype: torch.dtype, device: torch.device) -> TorchControlNetwork:
    """The network of a folder that `with_torch_controls` allows."""
    module = ControlNetModel.from_pretrained(
        folder, torch_dtype=dtype, variant=weights_variant(folder)
    )
    condition, network = split(module)
    return TorchControlNetwork(place(condition, device), place(network, device))


def complete_config(kind: Any, folder: Path) -> Config:
    """The config of a part's folder, with the defaults of its class in diffusers.

    Raises CheckpointError for a folder of another class.
    """
    return dict(without_weights(kind, folder).config)


def without_weights(kind: Any, folder: Path) -> Any:
    """A module of diffusers' class `kind`, its tensors without memory. Raises CheckpointError."""
    try:
        config = kind.load_config(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: has no config of a {kind.__name__}: {error}") from error
    if config.get("_class_name") != kind.__name__:
        got = config.get("_class_name")
        raise CheckpointError(f"{folder}: got a {got}, allowed a {kind.__name__}")
    with torch.device("meta"):
        return kind.from_config(config)
