"""Builds TensorRT-RTX engines of an exported repository, without a GPU, and measures that.

    python benchmarks/tensorrt_rtx.py [--repository out/repository] [--capability SM89 ...]
                                      [--only denoiser.onnx] [--out FILE]

For every engine, networks that enlarge panels included: how many layers TensorRT's parser makes of
the exported file and of the graph that it is given instead, how many of those give whole numbers
alone (shapes and indices), seconds of the build and of its CPU time, which says more on a machine
that does other things too, the most memory that this process held meanwhile
(parsing and building, with Python, its libraries and what earlier engines left), and the size of
the plan. Plans are for the model alone, so variants of the repository are left out. Writes
`results/tensorrt_rtx.json`; the repository stays as it is. Memory wants Linux.
"""

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from lafi.model.artifacts import FILES
from lafi.model.engine_metadata import RTX_CAPABILITIES, load_engine_metadata
from lafi.model.upscaler_files import UPSCALER
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_command import rtx_machine
from lafi_export.tensorrt_plan import BuildOptions, BuildPlan
from lafi_export.tensorrt_repository import build_repository
from lafi_kernels.tensorrt_module import import_tensorrt_rtx

CHOICES: Final = (*FILES, UPSCALER)
"""What can be built: an exported file, or the folder of all networks that enlarge panels."""
RESULTS: Final = Path(__file__).parent / "results" / "tensorrt_rtx.json"


@dataclass(frozen=True, slots=True)
class Layers:
    """Of a parsed network. whole_numbers: those that give shapes and indices alone."""

    all: int
    whole_numbers: int


@dataclass(frozen=True, slots=True)
class Built:
    """One engine. exported: of the file as `lafi export` leaves it."""

    capability: str
    precision: str
    layers: int
    whole_number_layers: int
    exported_layers: int
    exported_whole_number_layers: int
    seconds: float
    cpu_seconds: float
    memory_megabytes: float
    megabytes: float


def forget_peak_memory() -> None:
    """`peak_memory` counts from here."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """The most bytes that this process held since `forget_peak_memory`."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def layers_of(graph: Path) -> Layers:
    """What the parser makes of a file. Raises RuntimeError if it cannot read it."""
    trt = import_tensorrt_rtx()
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        raise RuntimeError(f"{graph}: {parser.get_error(0).desc()}")
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    whole = {trt.int32, trt.int64, trt.bool}
    shapes = [
        all(layer.get_output(i).dtype in whole for i in range(layer.num_outputs))
        for layer in layers
    ]
    return Layers(len(layers), sum(shapes))


class _Builder:
    """`BuildEngine` that measures; the files of `only` are built, the others passed over.

    All is kept by the exported file, relative to the artifacts.
    """

    def __init__(self, artifacts: Path, only: list[str]) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self.memory: dict[str, int] = {}
        self.layers: dict[str, Layers] = {}
        self._artifacts = artifacts
        self._only = only

    def __call__(
        self, graph: Path, target: Path, plan: BuildPlan, *, timing_cache: Path | None = None
    ) -> int:
        name = target.with_name(graph.name).relative_to(self._artifacts).as_posix()
        if name.split("/")[0] not in self._only:
            target.write_bytes(b"")
            return 0
        self.layers[name] = layers_of(graph)
        forget_peak_memory()
        started, worked = time.perf_counter(), time.process_time()
        plugins = build_engine(graph, target, plan, timing_cache=timing_cache)
        self.seconds[name] = time.perf_counter() - started, time.process_time() - worked
        self.memory[name] = peak_memory()
        return plugins


def build_all(repository: Path, capabilities: tuple[str, ...], only: list[str]) -> dict[str, Built]:
    """By ONNX file. only: of CHOICES. The plans are thrown away."""
    options = BuildOptions.for_rtx(capabilities)
    with tempfile.TemporaryDirectory(prefix="tensorrt_rtx.") as work:
        copy = Path(work) / "repository"
        shutil.copytree(repository, copy)
        shutil.rmtree(copy / "artifacts" / "variants", ignore_errors=True)
        artifacts = copy / "artifacts"
        build = _Builder(artifacts, only)
        build_repository(copy, rtx_machine(options), build, options=options)
        return {name: _built(name, artifacts, build) for name in build.layers}


def _built(name: str, artifacts: Path, build: _Builder) -> Built:
    layers, exported = build.layers[name], layers_of(artifacts / name)
    plan = (artifacts / name).with_suffix(".plan")
    metadata = load_engine_metadata(plan)
    return Built(
        capability=metadata.capability,
        precision=metadata.precision,
        layers=layers.all,
        whole_number_layers=layers.whole_numbers,
        exported_layers=exported.all,
        exported_whole_number_layers=exported.whole_numbers,
        seconds=round(build.seconds[name][0], 1),
        cpu_seconds=round(build.seconds[name][1], 1),
        memory_megabytes=round(build.memory[name] / 1e6),
        megabytes=round(plan.stat().st_size / 1e6, 1),
    )


def table(built: dict[str, Built]) -> Table:
    """All of them, for people."""
    made = Table(title="TensorRT-RTX engines, built without a GPU")
    names = "engine, for, precision, layers, as exported, seconds, CPU seconds, memory, MB"
    for column in names.split(", "):
        made.add_column(column)
    for name, one in built.items():
        told: list[Any] = [
            *(name, one.capability, one.precision),
            f"{one.layers} ({one.whole_number_layers})",
            f"{one.exported_layers} ({one.exported_whole_number_layers})",
            *(one.seconds, one.cpu_seconds, one.memory_megabytes, one.megabytes),
        ]
        made.add_row(*map(str, told))
    return made


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--repository", type=Path, default=Path("out/repository"))
    parser.add_argument("--capability", nargs="+", choices=RTX_CAPABILITIES, default=["SM89"])
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    built = build_all(asked.repository, tuple(asked.capability), asked.only)
    Console().print(table(built))
    told = {name: asdict(one) for name, one in built.items()}
    asked.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
