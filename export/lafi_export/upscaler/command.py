"""`lafi export-upscaler`: puts a network into a model repository and shows the parity report."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lafi.engine.cuda.machine import GpuMissing
from lafi.model.artifacts import ARTIFACTS, MODELS, ArtifactsError
from lafi.model.info import ModelInfoError
from lafi_export.command import parity_table
from lafi_export.ending import ended_like_an_error
from lafi_export.parity_report import ParityError
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_command import machine_for
from lafi_export.tensorrt_graph import GraphError
from lafi_export.tensorrt_plan import BuildError, BuildOptions
from lafi_export.tensorrt_repository import TIMING_CACHE
from lafi_export.upscaler.repository import (
    UpscalerExportError,
    export_upscaler,
    parity_of,
    serve_upscaler,
    write_upscaler_model,
)
from lafi_export.upscaler.source import SourceError
from lafi_export.upscaler.tensorrt import build_upscalers, check_network
from lafi_kernels.tensorrt_module import TensorRTMissing

_EXPECTED_ERRORS = (
    ArtifactsError,
    BuildError,
    GpuMissing,
    GraphError,
    ModelInfoError,
    ParityError,
    SourceError,
    TensorRTMissing,
    UpscalerExportError,
)


def upscaler_command(
    source: str,
    out: Path,
    *,
    options: BuildOptions | None = None,
    console: Console | None = None,
) -> int:
    """Put the network of `source` into the repository `out`.

    source: as `lafi_export.upscaler.source.read_source` takes it. options: also build the plans of
    all its networks, for the GPU of this machine or for the capabilities of the options, and serve
    those; without the GPU or the package that they need nothing is begun. None: for the CPU.
    Returns the exit code: 0, or 1 with the reason printed.
    """
    console = console or Console(highlight=False)

    def tell(step: str) -> None:
        console.print(Text(step), style="dim")

    try:
        serve = serve_upscaler if options is None else _served_on_gpu(options, tell)
        with ended_like_an_error():
            facts = export_upscaler(source, out, tell=tell)
            serve(out)
    except _EXPECTED_ERRORS as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 1
    console.print(parity_table(parity_of(out, facts.factor)))
    console.print(Text(f"a storyboard asks for it by `upscale: {facts.factor}`"))
    console.print(Text(f"lafi serve {out}", style="cyan"))
    return 0


def _served_on_gpu(options: BuildOptions, tell: Callable[[str], None]) -> Callable[[Path], None]:
    """Raises GpuMissing and TensorRTMissing now, before anything is written."""
    machine = machine_for(options)
    runs_here = options.builder == "tensorrt"

    def serve(repository: Path) -> None:
        artifacts = repository / ARTIFACTS
        build_upscalers(
            artifacts,
            machine,
            build_engine,
            timing_cache=artifacts / TIMING_CACHE if runs_here else None,
            options=options,
            check=check_network if runs_here else None,
            tell=tell,
        )
        write_upscaler_model(repository / MODELS, artifacts, options.builder, "KIND_GPU")

    return serve
