"""Writes the control networks and adapters of a model: REPO/artifacts/control/<name>/.

Each has its graphs, its weights and a parity report of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from lafi.engine.onnx.control import load_control, load_control_adapter
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.engine.torch.control import TorchControlNetwork
from lafi.engine.torch.control_adapter import TorchControlAdapter
from lafi.model.artifacts import WEIGHTS, file_sha256
from lafi.model.control_info import ControlInfo, control_folder
from lafi.model.info import ModelInfo
from lafi_export.control.adapter import load_adapter_modules
from lafi_export.control.network import load_control_modules
from lafi_export.control.parity import compare_adapter, compare_control
from lafi_export.onnx_export import Graph, export_graph
from lafi_export.parity_cases import Sizes
from lafi_export.parity_report import (
    PARITY_FILE,
    TOLERANCES,
    EngineParity,
    ParityError,
    ParityReport,
)
from lafi_export.part_weights import PartWeights

Tell = Callable[[str], None]
Kind = tuple[RuntimeName, Precision]
TorchControl = TorchControlNetwork | TorchControlAdapter
PREFIX: Final = "control_"
"""In front of a network's name in reports and messages."""


class Exported(Protocol):
    """Modules in fp32 whose weights are mapped from one file."""

    @property
    def weights(self) -> PartWeights: ...

    def engine(self) -> TorchControl:
        """These very modules, to compare exported ones with."""

    def graphs(self, control: ControlInfo, info: ModelInfo) -> tuple[Graph, ...]:
        """What is exported. info: of the model with what steers it."""


def write_controls(
    folders: Mapping[str, Path], artifacts: Path, info: ModelInfo, tell: Tell
) -> tuple[ModelInfo, dict[str, TorchControl]]:
    """Exports what steers a model; its facts with the hashes, and the same in torch.

    folders: of diffusers, by name, those that `info.controls` lists without hashes.
    """
    written: list[ControlInfo] = []
    engines = {}
    for control in info.controls:
        tell(f"exporting {PREFIX}{control.name}")
        folder = control_folder(artifacts, control.name)
        folder.mkdir(parents=True)
        load = load_adapter_modules if control.features else load_control_modules
        modules: Exported = load(folders[control.name], folder / WEIGHTS)
        files = [modules.weights.location]
        for graph in modules.graphs(control, info):
            export_graph(graph, folder / graph.file, [modules.weights])
            files.append(graph.file)
        hashes = {file: file_sha256(folder / file) for file in files}
        written.append(control.model_copy(update={"sha256": hashes}))
        engines[control.name] = modules.engine()
    return info.model_copy(update={"controls": tuple(written)}), engines


def compare_controls(
    references: Mapping[str, TorchControl],
    artifacts: Path,
    info: ModelInfo,
    kinds: Sequence[Kind],
    sizes: Sizes,
    threads: int = 0,
) -> None:
    """Saves a report beside each. Raises ParityError if one is wrong.

    kinds: runtimes and precisions to compare. sizes: of the random inputs.
    """
    for control in info.controls:
        folder = control_folder(artifacts, control.name)
        reference = references[control.name]
        rows = [
            row
            for kind in kinds
            for row in _compared(reference, folder, control, info, kind, sizes, threads)
        ]
        report = ParityReport(
            model=f"{info.name}, {PREFIX}{control.name}",
            weights_sha256=control.weights_sha256,
            engines=tuple(rows),
            pictures=(),
            tolerances={precision: TOLERANCES[precision] for _, precision in kinds},
        )
        try:
            report.check()
        except ParityError as error:
            raise ParityError(f"{PREFIX}{control.name}: {error}") from error
        report.save(folder)


def _compared(
    reference: TorchControl,
    folder: Path,
    control: ControlInfo,
    info: ModelInfo,
    kind: Kind,
    sizes: Sizes,
    threads: int,
) -> Iterator[EngineParity]:
    """The rows of one runtime and precision."""
    if isinstance(reference, TorchControlAdapter):
        adapter = load_control_adapter(folder, control, kind[0], threads)
        return compare_adapter(reference, adapter, control, info, kind[0], sizes)
    network = load_control(folder, control, info, *kind, threads)
    return compare_control(reference, network, info, kind, sizes)


def control_report(artifacts: Path, name: str) -> ParityReport:
    """The report of a network or adapter that was exported."""
    file = control_folder(artifacts, name) / PARITY_FILE
    return ParityReport.model_validate_json(file.read_bytes())
