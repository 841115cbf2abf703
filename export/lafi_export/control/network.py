"""A control network as two modules whose inputs and outputs are what is exported.

Its weights are mapped from a float32 file, as a checkpoint's are.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from diffusers import ControlNetModel
from torch import Tensor, nn
from torch.export import Dim

from lafi.engine.onnx.control import PICTURES
from lafi.engine.torch.control import (
    ControlCondition,
    TorchControlNetwork,
    run_network,
    split,
)
from lafi.engine.torch.control_fit import without_weights
from lafi.model.control_info import (
    CONDITION,
    CONDITION_NETWORK,
    NETWORK,
    ControlInfo,
    is_residual,
    network_ports,
)
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi_export.modules import loaded
from lafi_export.onnx_export import Graph, port_inputs
from lafi_export.part_weights import PartWeights, write_part

_PART: Final = "control"
"""The name of its weights' file and of the attribute that holds its tensors in both modules."""


class ConditionModule(nn.Module):
    """pictures (B, 3, H, W) in [0, 1] -> condition (B, C, h, w)."""

    def __init__(self, condition: ControlCondition) -> None:
        super().__init__()
        self.control = condition

    def forward(self, pictures: Tensor) -> Tensor:
        made: Tensor = self.control(pictures)
        return made


class NetworkModule(nn.Module):
    """The inputs of `lafi.model.control_info.network_ports` -> the denoiser's residuals."""

    def __init__(self, network: ControlNetModel) -> None:
        super().__init__()
        self.control = network

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return run_network(self.control, inputs)


class PictureSides(NamedTuple):
    """Height and width of an example picture, and its axes that may vary."""

    example: tuple[int, int]
    dynamic: dict[int, Any]


@dataclass(frozen=True, slots=True)
class ControlModules:
    """`lafi_export.control.repository.Exported` of a control network: its two parts in fp32."""

    condition: ConditionModule
    network: NetworkModule
    weights: PartWeights

    def engine(self) -> TorchControlNetwork:
        """These very modules, to compare exported ones with."""
        return TorchControlNetwork(self.condition.control, self.network.control)

    def graphs(self, control: ControlInfo, info: ModelInfo) -> tuple[Graph, ...]:
        """What is exported. info: of the model with its control networks."""
        ports = input_ports(info)
        step = info.side_multiple // info.vae_scale
        example, dynamic = port_inputs(network_ports(ports), step, info.text_length)
        residuals = tuple(port.name for port in ports if is_residual(port))
        sides = picture_sides(info)
        pictures = {PICTURES: torch.zeros(2, control.channels, *sides.example)}
        seen = {PICTURES: sides.dynamic}
        return (
            Graph(CONDITION_NETWORK, self.condition, pictures, seen, (CONDITION,)),
            Graph(NETWORK, self.network, example, dynamic, residuals, whole=True),
        )


def load_control_modules(folder: Path, weights: Path) -> ControlModules:
    """A diffusers folder, whatever precision it is stored in. weights: gets a float32 file.

    Raises CheckpointError for weights that are missing or do not fit the config.
    """
    module, part = control_part(ControlNetModel, folder, weights)
    condition, network = split(module)
    return ControlModules(ConditionModule(condition).eval(), NetworkModule(network).eval(), part)


def control_part(kind: Any, folder: Path, weights: Path) -> tuple[Any, PartWeights]:
    """A module of diffusers' class `kind` that maps its weights, and the float32 file of them.

    weights: where the file goes. Raises CheckpointError.
    """
    module: Any = without_weights(kind, folder)
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    with tempfile.TemporaryDirectory(prefix=".control.", dir=weights.parent) as work:
        (Path(work) / _PART).symlink_to(folder.absolute(), target_is_directory=True)
        part = write_part(Path(work), _PART, shapes, weights)
    return loaded(module, part), part


def picture_sides(info: ModelInfo) -> PictureSides:
    """Of the pictures that what steers a model sees."""
    multiple = info.side_multiple
    dynamic = {0: Dim("batch", max=63), 2: multiple * Dim("rows"), 3: multiple * Dim("columns")}
    return PictureSides((2 * multiple, 3 * multiple), dynamic)
