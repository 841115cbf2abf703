"""Control networks and adapters on ONNX files. Knows tensors and graphs, not storyboards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from lafi.engine.onnx.graph import Precision, RunGraph, RuntimeName, open_graph
from lafi.model.artifacts import check_file
from lafi.model.control_info import (
    ADAPTER,
    CONDITION_NETWORK,
    NETWORK,
    ControlInfo,
    control_folder,
    network_ports,
)
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo

PICTURES: Final = "pictures"
"""The input of what sees a picture."""


class OnnxControlNetwork:
    """`lafi.ports.control.ControlNetwork` on two ONNX files."""

    def __init__(self, condition: RunGraph, network: RunGraph, info: ModelInfo) -> None:
        """info: of the model that it steers."""
        self._condition = condition
        self._network = network
        self._names = [port.name for port in network_ports(input_ports(info))]

    def condition(self, pictures: Tensor) -> Tensor:
        """As the protocol."""
        return torch.from_numpy(self._condition({PICTURES: pictures.contiguous().numpy()})[0])

    def residuals(self, rows: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """As the protocol."""
        feed = {name: rows[name].contiguous().numpy() for name in self._names}
        return tuple(torch.from_numpy(made) for made in self._network(feed))


class OnnxControlAdapter:
    """`lafi.ports.control.ControlAdapter` on an ONNX file."""

    def __init__(self, graph: RunGraph) -> None:
        self._graph = graph

    def features(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As the protocol."""
        made = self._graph({PICTURES: pictures.contiguous().numpy()})
        return tuple(torch.from_numpy(feature) for feature in made)


def load_controls(
    artifacts: Path, info: ModelInfo, runtime: RuntimeName, precision: Precision, threads: int
) -> dict[str, OnnxControlNetwork]:
    """All control networks of an exported model, by name; variants use those of the model.

    artifacts: the folder of the model or of a variant, with these facts. Raises ArtifactsError for
    a missing or changed file.
    """
    own = _of_model(artifacts, info)
    return {
        control.name: load_control(
            control_folder(own, control.name), control, info, runtime, precision, threads
        )
        for control in info.controls
        if not control.features
    }


def load_control(
    folder: Path,
    control: ControlInfo,
    info: ModelInfo,
    runtime: RuntimeName,
    precision: Precision,
    threads: int = 0,
) -> OnnxControlNetwork:
    """One network. precision: of what runs at each step; its picture is seen in f32.

    Raises ArtifactsError.
    """
    _check(folder, control, CONDITION_NETWORK, NETWORK)
    return OnnxControlNetwork(
        open_graph(folder / CONDITION_NETWORK, runtime, "f32", threads),
        # With snippets OpenVINO 2026.4 gives wrong residuals, which the parity report found.
        open_graph(folder / NETWORK, runtime, precision, threads, snippets=False),
        info,
    )


def load_control_adapters(
    artifacts: Path, info: ModelInfo, runtime: RuntimeName, threads: int
) -> dict[str, OnnxControlAdapter]:
    """All control adapters of an exported model, by name, as `load_controls`."""
    own = _of_model(artifacts, info)
    return {
        control.name: load_control_adapter(
            control_folder(own, control.name), control, runtime, threads
        )
        for control in info.controls
        if control.features
    }


def load_control_adapter(
    folder: Path, control: ControlInfo, runtime: RuntimeName, threads: int = 0
) -> OnnxControlAdapter:
    """One adapter, which sees its picture in f32. Raises ArtifactsError."""
    _check(folder, control, ADAPTER)
    return OnnxControlAdapter(open_graph(folder / ADAPTER, runtime, "f32", threads))


def _of_model(artifacts: Path, info: ModelInfo) -> Path:
    """The folder of the model itself."""
    return Path(artifacts).parent.parent if info.variant else Path(artifacts)


def _check(folder: Path, control: ControlInfo, *needed: str) -> None:
    for file in dict.fromkeys((*needed, *control.sha256)):
        check_file(folder / file, control.sha256.get(file))
