"""A T2I-Adapter as a module whose input and outputs are what is exported.

Its weights are mapped from a float32 file, as a checkpoint's are.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import T2IAdapter
from torch import Tensor, nn

from lafi.engine.onnx.control import PICTURES
from lafi.engine.torch.control_adapter import TorchControlAdapter
from lafi.model.control_info import ADAPTER, ControlInfo, is_feature
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi_export.control.network import control_part, picture_sides
from lafi_export.onnx_export import Graph
from lafi_export.part_weights import PartWeights


class AdapterModule(nn.Module):
    """pictures (B, C, H, W) in [0, 1] -> features (B, C', h / d, w / d) each."""

    def __init__(self, adapter: T2IAdapter) -> None:
        super().__init__()
        self.control = adapter

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.control(pictures))


@dataclass(frozen=True, slots=True)
class AdapterModules:
    """`lafi_export.control.repository.Exported` of an adapter, in fp32."""

    module: AdapterModule
    weights: PartWeights

    def engine(self) -> TorchControlAdapter:
        """This very module, to compare the exported one with."""
        return TorchControlAdapter(self.module.control)

    def graphs(self, control: ControlInfo, info: ModelInfo) -> tuple[Graph, ...]:
        """What is exported. info: of the model with its control adapters."""
        sides = picture_sides(info)
        pictures = {PICTURES: torch.zeros(2, control.channels, *sides.example)}
        ports = [port.name for port in input_ports(info) if is_feature(port)]
        names = tuple(ports[: control.features])
        return (Graph(ADAPTER, self.module, pictures, {PICTURES: sides.dynamic}, names),)


def load_adapter_modules(folder: Path, weights: Path) -> AdapterModules:
    """A diffusers folder, whatever precision it is stored in. weights: gets a float32 file.

    Raises CheckpointError for weights that are missing or do not fit the config.
    """
    module, part = control_part(T2IAdapter, folder, weights)
    return AdapterModules(AdapterModule(module).eval(), part)
