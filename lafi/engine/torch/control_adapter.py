"""Diffusers' `T2IAdapter` as a `ControlAdapter`: features of a picture, once."""

from pathlib import Path

import torch
from diffusers import T2IAdapter
from torch import Tensor

from lafi.engine.torch.device import bring, current, give_back, place
from lafi.model.checkpoint import weights_variant


class TorchControlAdapter:
    """`lafi.ports.control.ControlAdapter`."""

    def __init__(self, module: T2IAdapter) -> None:
        """module: on the device that it runs on."""
        self._module = module

    @torch.no_grad()
    def features(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As the protocol."""
        device, dtype = self._module.device, self._module.dtype
        with current(device):
            made = self._module(bring(pictures, device, dtype))
            return tuple(give_back(feature, pictures) for feature in made)


def load_adapter(folder: Path, dtype: torch.dtype, device: torch.device) -> TorchControlAdapter:
    """The adapter of a folder that `lafi.engine.torch.control_fit` allows."""
    module = T2IAdapter.from_pretrained(folder, torch_dtype=dtype, variant=weights_variant(folder))
    return TorchControlAdapter(place(module, device))
