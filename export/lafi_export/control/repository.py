"""Writes the control networks of a model: REPO/artifacts/control/<name>/.

Each has its two graphs, its weights and a parity report of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lafi.engine.onnx.control import load_control
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.engine.torch.control import TorchControlNetwork
from lafi.model.artifacts import WEIGHTS, file_sha256
from lafi.model.control_info import ControlInfo, control_folder
from lafi.model.info import ModelInfo
from lafi_export.control.network import control_graphs, load_control_modules
from lafi_export.control.parity import compare_control
from lafi_export.onnx_export import export_graph
from lafi_export.parity_cases import Sizes
from lafi_export.parity_report import PARITY_FILE, TOLERANCES, ParityError, ParityReport

Tell = Callable[[str], None]
Kinds = Sequence[tuple[RuntimeName, Precision]]
PREFIX: Final = "control_"
"""In front of a network's name in reports and messages."""


def write_controls(
    folders: Mapping[str, Path], artifacts: Path, info: ModelInfo, tell: Tell
) -> tuple[ModelInfo, dict[str, TorchControlNetwork]]:
    """Exports the networks; the model's facts with their hashes, and the networks in torch.

    folders: of diffusers, by name, those that `info.controls` lists without hashes.
    """
    written: list[ControlInfo] = []
    engines = {}
    for control in info.controls:
        tell(f"exporting {PREFIX}{control.name}")
        folder = control_folder(artifacts, control.name)
        folder.mkdir(parents=True)
        modules = load_control_modules(folders[control.name], folder / WEIGHTS)
        files = [modules.weights.location]
        for graph in control_graphs(modules, info):
            export_graph(graph, folder / graph.file, [modules.weights])
            files.append(graph.file)
        hashes = {file: file_sha256(folder / file) for file in files}
        written.append(control.model_copy(update={"sha256": hashes}))
        engines[control.name] = modules.engine()
    return info.model_copy(update={"controls": tuple(written)}), engines


def compare_controls(
    references: Mapping[str, TorchControlNetwork],
    artifacts: Path,
    info: ModelInfo,
    kinds: Kinds,
    sizes: Sizes,
    threads: int = 0,
) -> None:
    """Saves each network's report beside it. Raises ParityError if one is wrong.

    kinds: runtimes and precisions to compare. sizes: of the random inputs.
    """
    for control in info.controls:
        folder = control_folder(artifacts, control.name)
        reference = references[control.name]
        rows = [
            row
            for runtime, precision in kinds
            for row in compare_control(
                reference,
                load_control(folder, control, info, runtime, precision, threads),
                info,
                (runtime, precision),
                sizes,
            )
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


def control_report(artifacts: Path, name: str) -> ParityReport:
    """The report of a network that was exported."""
    file = control_folder(artifacts, name) / PARITY_FILE
    return ParityReport.model_validate_json(file.read_bytes())
