"""Builds TensorRT-RTX engines of an exported repository, without a GPU, and measures that.

    python benchmarks/tensorrt_rtx.py [--repository out/repository] [--capability SM89 ...]
                                      [--only denoiser.onnx] [--out FILE]

For every engine: how many layers TensorRT's parser makes of the exported file and of the graph that
it is given instead, how many of those give whole numbers alone (shapes and indices), seconds of the
build, and the size of the plan. Writes `results/tensorrt_rtx.json`; the repository stays as it is.
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
from lafi.model.engine_metadata import EngineMetadata
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_command import rtx_machine
from lafi_export.tensorrt_plan import CAPABILITIES, BuildOptions, BuildPlan
from lafi_export.tensorrt_repository import build_repository
from lafi_kernels.tensorrt_module import import_tensorrt_rtx

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
    megabytes: float


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
    """`BuildEngine` that takes the time; the files of `only` are built, the others passed over."""

    def __init__(self, only: list[str]) -> None:
        self.seconds: dict[str, float] = {}
        self.layers: dict[str, Layers] = {}
        self._only = only

    def __call__(
        self, graph: Path, target: Path, plan: BuildPlan, *, timing_cache: Path | None = None
    ) -> int:
        if graph.name not in self._only:
            target.write_bytes(b"")
            return 0
        self.layers[graph.name] = layers_of(graph)
        started = time.perf_counter()
        plugins = build_engine(graph, target, plan, timing_cache=timing_cache)
        self.seconds[graph.name] = time.perf_counter() - started
        return plugins


def build_all(repository: Path, capabilities: tuple[str, ...], only: list[str]) -> dict[str, Built]:
    """By ONNX file. The plans are thrown away."""
    options = BuildOptions(builder="tensorrt-rtx", capabilities=capabilities, attention="body")
    build = _Builder(only)
    with tempfile.TemporaryDirectory(prefix="tensorrt_rtx.") as work:
        copy = Path(work) / "repository"
        shutil.copytree(repository, copy)
        shutil.rmtree(copy / "artifacts" / "variants", ignore_errors=True)
        made = build_repository(copy, rtx_machine(options), build, options=options)
        artifacts = copy / "artifacts"
        return {name: _built(name, made[name], artifacts, build) for name in only}


def _built(name: str, metadata: EngineMetadata, artifacts: Path, build: _Builder) -> Built:
    layers, exported = build.layers[name], layers_of(artifacts / name)
    return Built(
        capability=metadata.capability,
        precision=metadata.precision,
        layers=layers.all,
        whole_number_layers=layers.whole_numbers,
        exported_layers=exported.all,
        exported_whole_number_layers=exported.whole_numbers,
        seconds=round(build.seconds[name], 1),
        megabytes=round((artifacts / metadata.plan).stat().st_size / 1e6, 1),
    )


def table(built: dict[str, Built]) -> Table:
    """All of them, for people."""
    made = Table(title="TensorRT-RTX engines, built without a GPU")
    for column in ("engine", "for", "precision", "layers", "as exported", "seconds", "MB"):
        made.add_column(column)
    for name, one in built.items():
        told: list[Any] = [
            *(name, one.capability, one.precision),
            f"{one.layers} ({one.whole_number_layers})",
            f"{one.exported_layers} ({one.exported_whole_number_layers})",
            *(one.seconds, one.megabytes),
        ]
        made.add_row(*map(str, told))
    return made


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--repository", type=Path, default=Path("out/repository"))
    parser.add_argument("--capability", nargs="+", choices=CAPABILITIES, default=["SM89"])
    parser.add_argument("--only", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    built = build_all(asked.repository, tuple(asked.capability), asked.only)
    Console().print(table(built))
    told = {name: asdict(one) for name, one in built.items()}
    asked.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
