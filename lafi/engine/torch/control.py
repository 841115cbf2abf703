"""Diffusers' `ControlNetModel` as a `ControlNetwork`: its picture once, the rest at each step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from lafi.engine.torch.device import bring, current, give_back, place
from lafi.model.checkpoint import weights_variant
from lafi.model.control_info import CONDITION, SCALE


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


def load_control(folder: Path, dtype: torch.dtype, device: torch.device) -> TorchControlNetwork:
    """The network of a folder that `lafi.engine.torch.control_fit` allows."""
    module = ControlNetModel.from_pretrained(
        folder, torch_dtype=dtype, variant=weights_variant(folder)
    )
    condition, network = split(module)
    return TorchControlNetwork(place(condition, device), place(network, device))
