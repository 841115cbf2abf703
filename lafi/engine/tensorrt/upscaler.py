"""Upscaler networks on TensorRT plans, each beside the ONNX file that it was built from."""

from pathlib import Path
from typing import Final

import torch

from lafi.engine.cuda.graphs import GraphRunner
from lafi.engine.cuda.machine import check_gpu, gpu_machine
from lafi.engine.onnx.upscaler import GIVEN, MADE, Planes, RunNetwork, TiledUpscaler
from lafi.engine.tensorrt.engines import batch_padding, graph_runner, open_plan
from lafi.model.engine_metadata import load_engine_metadata
from lafi.model.upscaler_files import UpscalerNetwork, network_folder, read_upscaler_info

PLAN: Final = "network.plan"
"""Of a network, in its folder."""


def load_tensorrt_upscaler(folder: Path, state: Path | None = None) -> TiledUpscaler | None:
    """All networks of an exported model on the GPU of this machine; None if it has none.

    folder: as `lafi.model.upscaler_files.upscaler_folder` gives it. state: as
    `lafi.engine.tensorrt.contexts.kernels_file` takes it. Raises GpuMissing without a GPU,
    EngineMetadataError for a plan that is missing, changed, built elsewhere or from another
    file, and ArtifactsError for damaged facts.
    """
    info = read_upscaler_info(folder)
    if info is None:
        return None
    return TiledUpscaler(info, {n.factor: _opened(folder, n, state) for n in info.networks})


def _opened(folder: Path, network: UpscalerNetwork, state: Path | None) -> RunNetwork:
    check_gpu()
    plan = network_folder(folder, network.factor) / PLAN
    metadata = load_engine_metadata(plan)
    metadata.check_machine(gpu_machine(metadata.builder))
    metadata.check_sources(network.sha256, network.weights_sha256)
    runner = graph_runner(open_plan(plan, metadata, state), batch_padding(metadata))
    return on_runner(runner)


def on_runner(runner: GraphRunner) -> RunNetwork:
    """A compiled network as a function of arrays."""

    def enlarge(planes: Planes) -> Planes:
        made: Planes = runner({GIVEN: torch.from_numpy(planes)})[MADE].numpy()
        return made

    return enlarge
