"""Builds TensorRT-RTX engines without a GPU, and measures that.

    python benchmarks/tensorrt_rtx.py [--repository out/repository] [--models bundled sd15 ...]
                                      [--capability SM89 ...] [--only denoiser.onnx] [--out FILE]

Of the repository that `lafi export` made of the bundled model, and of published architectures with
random weights, which it exports first: with small widths, and those of FULL as they are, which
take gigabytes and are built where they are named. Engines of a model that is not asked for stay in
the file as they were. Every export and every model's builds have a process of their own.

For every engine, networks that enlarge panels included: how many layers TensorRT's parser makes of
the exported file and of the graph that it is given instead, how many of those give whole numbers
alone (shapes and indices), seconds of the build and of its CPU time, which says more on a machine
that does other things too, the most memory that this process held meanwhile
(parsing and building, with Python, its libraries and what earlier engines left), and the size of
the plan. Plans are for the model alone, so variants of the repository are left out. Writes
`results/tensorrt_rtx.json`, in which engines of other models than the bundled one have the model's
name in front; the repository stays as it is. Memory wants Linux.
"""

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, get_args

import torch
from rich.console import Console
from rich.table import Table

from lafi.drawing.pipeline import MAX_ROWS
from lafi.model.architectures.architecture import Size
from lafi.model.architectures.registry import ArchitectureName
from lafi.model.artifacts import FILES
from lafi.model.checkpoint import read_model_info
from lafi.model.engine_metadata import RTX_CAPABILITIES, load_engine_metadata
from lafi.model.upscaler_files import UPSCALER
from lafi_export.artifacts import export_model
from lafi_export.random_checkpoint import random_checkpoint
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_command import rtx_machine
from lafi_export.tensorrt_plan import BuildOptions, BuildPlan
from lafi_export.tensorrt_profiles import Limits, Range
from lafi_export.tensorrt_repository import build_repository
from lafi_kernels.tensorrt_module import import_tensorrt_rtx

CHOICES: Final = (*FILES, UPSCALER)
"""What can be built: an exported file, or the folder of all networks that enlarge panels."""
RESULTS: Final = Path(__file__).parent / "results" / "tensorrt_rtx.json"
BUNDLED: Final = "bundled"


@dataclass(frozen=True, slots=True)
class Published:
    """A published architecture with random weights.

    side: of its pictures, in pixels. rows: of one denoiser call, at most.
    """

    architecture: ArchitectureName
    size: Size
    side: Range
    rows: int = MAX_ROWS

    @property
    def limits(self) -> Limits:
        return Limits(side=self.side).with_rows(self.rows)


_SMALL_SIDE: Final = Range(64, 128, 128)
SMALL: Final = {name: Published(name, "small", _SMALL_SIDE) for name in get_args(ArchitectureName)}
FULL: Final = {
    "sd15-full": Published("sd15", "full", Range(256, 512, 512)),
    # With 20 rows the builder asks for 74 GB.
    "sdxl-full": Published("sdxl", "full", Range(512, 1024, 1024), rows=6),
}
PUBLISHED: Final[Mapping[str, Published]] = SMALL | FULL


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


def export_published(name: str, repository: Path) -> None:
    """Artifacts of one of PUBLISHED, not compared with torch. Half of the weights' bytes suffice:
    what is exported is float32."""
    chosen = PUBLISHED[name]
    with tempfile.TemporaryDirectory(prefix="checkpoint.", dir=repository.parent) as work:
        checkpoint = Path(work) / name
        random_checkpoint(chosen.architecture, checkpoint, dtype=torch.float16, size=chosen.size)
        (artifacts := repository / "artifacts").mkdir(parents=True)
        export_model(checkpoint, artifacts, read_model_info(checkpoint), print)


def build_published(name: str, capabilities: tuple[str, ...], only: list[str]) -> dict[str, Built]:
    """As `build_all`, by the name and the ONNX file."""
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="tensorrt_rtx.") as work,
        ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes,
    ):
        repository = Path(work) / "exported"
        processes.submit(export_published, name, repository).result()
        limits = PUBLISHED[name].limits
        built = processes.submit(build_all, repository, capabilities, only, limits).result()
    return {f"{name}/{engine}": one for engine, one in built.items()}


def build_all(
    repository: Path,
    capabilities: tuple[str, ...],
    only: list[str],
    limits: Limits = Limits(),  # noqa: B008 (immutable)
) -> dict[str, Built]:
    """By ONNX file. only: of CHOICES. The plans are thrown away."""
    options = BuildOptions.for_rtx(capabilities)
    with tempfile.TemporaryDirectory(prefix="tensorrt_rtx.") as work:
        copy = Path(work) / "repository"
        shutil.copytree(repository, copy)
        shutil.rmtree(copy / "artifacts" / "variants", ignore_errors=True)
        artifacts = copy / "artifacts"
        build = _Builder(artifacts, only)
        build_repository(copy, rtx_machine(options), build, options=options, limits=limits)
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


def ordered(built: Mapping[str, Any]) -> dict[str, Any]:
    """By model: the bundled one, then as PUBLISHED has them."""
    models = [*PUBLISHED]

    def place(name: str) -> int:
        model = name.split("/")[0]
        return 1 + models.index(model) if model in models else 0

    return {name: built[name] for name in sorted(built, key=place)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--repository", type=Path, default=Path("out/repository"))
    models = (BUNDLED, *PUBLISHED)
    parser.add_argument("--models", nargs="+", choices=models, default=[BUNDLED, *SMALL])
    parser.add_argument("--capability", nargs="+", choices=RTX_CAPABILITIES, default=["SM89"])
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    told = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.exists() else {}
    for model in asked.models:
        capabilities = tuple(asked.capability)
        if model == BUNDLED:
            built = build_all(asked.repository, capabilities, asked.only)
        else:
            built = build_published(model, capabilities, asked.only)
        Console().print(table(built))
        # Kept at once: those that follow take minutes.
        told = ordered(told | {name: asdict(one) for name, one in built.items()})
        asked.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
