"""Builds TensorRT plans of the networks in a repository, and serves those.

As the VAEs the networks stay in float32: their work is small beside the denoiser's, and the pixels
are those of the CPU but for rounding. What builds an engine is passed in, since that needs a GPU.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from lafi.engine.onnx.tiles import tile_side
from lafi.engine.onnx.upscaler import GIVEN, MAX_ROWS, SMALLEST_SIDE
from lafi.engine.tensorrt.upscaler import PLAN
from lafi.model.artifacts import file_sha256
from lafi.model.engine_metadata import EngineMetadata, GpuMachine, ShapeRange
from lafi.model.upscaler_files import (
    NETWORK,
    UPSCALER,
    UpscalerNetwork,
    network_folder,
    read_upscaler_info,
)
from lafi_export.tensorrt_compare import CheckEngine, CompareEngine, compare_with_onnx, sample_feeds
from lafi_export.tensorrt_graph import GraphChange, write_graph
from lafi_export.tensorrt_plan import BuildEngine, BuildOptions, plan_build

PRECISION: Final = "f32"


def network_profile(reach: int) -> dict[str, ShapeRange]:
    """From the smallest picture to a whole tile; larger pictures are cut into those."""
    side = tile_side(reach)
    return {
        GIVEN: ShapeRange(
            smallest=(1, 3, SMALLEST_SIDE, SMALLEST_SIDE),
            tuned=(1, 3, side, side),
            largest=(MAX_ROWS, 3, side, side),
        )
    }


def build_upscalers(
    artifacts: Path,
    machine: GpuMachine,
    build: BuildEngine,
    *,
    timing_cache: Path | None,
    options: BuildOptions = BuildOptions(),  # noqa: B008 (immutable)
    check: CheckEngine | None = None,
    tell: Callable[[str], None] = lambda step: None,
) -> dict[int, EngineMetadata]:
    """Build the plan of every network of an exported folder; the metadata by factor.

    machine, build, options, check: as `build_repository` takes them. Raises BuildError, GraphError.
    """
    folder = Path(artifacts) / UPSCALER
    info = read_upscaler_info(folder)
    made = {}
    for network in info.networks if info is not None else ():
        tell(f"building {network.name}, {network.factor} times")
        own = network_folder(folder, network.factor)
        made[network.factor] = metadata = _build(
            own, network, machine, build, options, timing_cache
        )
        if check is not None:
            check(own / NETWORK, {}, metadata)
    return made


def check_network(
    source: Path,
    names: Mapping[str, str],
    metadata: EngineMetadata,
    *,
    compare: CompareEngine = compare_with_onnx,
) -> None:
    """`CheckEngine` for a network: `source` is its ONNX file, the plan lies beside it.

    names: none, a plan has those of its file. Raises BuildError for an engine that disagrees.
    """
    feeds = sample_feeds(metadata, 1, ())
    compare(source, source.with_name(metadata.plan), metadata, feeds)


def _build(
    folder: Path,
    network: UpscalerNetwork,
    machine: GpuMachine,
    build: BuildEngine,
    options: BuildOptions,
    timing_cache: Path | None,
) -> EngineMetadata:
    options = replace(options, precision=PRECISION, refit=False, strip=False)
    with tempfile.TemporaryDirectory(prefix=".tensorrt.", dir=folder) as work:
        graph = Path(work) / NETWORK
        nodes = write_graph(folder / NETWORK, graph, GraphChange(PRECISION))
        plan = plan_build(network_profile(network.reach), nodes, options)
        plugins = build(graph, folder / PLAN, plan, timing_cache=timing_cache)
    metadata = EngineMetadata(
        plan=PLAN,
        plan_sha256=file_sha256(folder / PLAN),
        onnx_sha256=network.sha256,
        weights_sha256=network.weights_sha256,
        builder=machine.builder,
        gpu=machine.gpu,
        capability=machine.capability,
        tensorrt=machine.tensorrt,
        precision=PRECISION,
        profile=dict(plan.profile),
        attention_plugins=plugins,
    )
    metadata.save(folder)
    return metadata
