"""What `lafi export --target tensorrt` does: exports to ONNX, then builds plans for this GPU.

With `--target tensorrt-rtx` it builds them for GPUs that are elsewhere, and needs none.
"""

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from lafi.drawing.pipeline import MAX_ROWS
from lafi.engine.cuda.machine import GpuMissing, gpu_machine
from lafi.model.artifacts import ArtifactsError
from lafi.model.checkpoint import CheckpointError, check_checkpoint
from lafi.model.engine_metadata import RTX_CAPABILITIES, EngineMetadata, GpuMachine
from lafi.model.family import plan_precision_of
from lafi.model.info import ModelInfoError
from lafi_export.ending import ended_like_an_error
from lafi_export.parity_report import ParityError
from lafi_export.repository import ExportError, export_checkpoint
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_compare import check_engine
from lafi_export.tensorrt_graph import GraphError
from lafi_export.tensorrt_plan import BuildError, BuildOptions
from lafi_export.tensorrt_precision import PrecisionError
from lafi_export.tensorrt_profiles import Limits, ProfileError, Range
from lafi_export.tensorrt_repository import build_repository
from lafi_export.upscaler.tensorrt import check_network
from lafi_kernels.tensorrt_module import TensorRTMissing, import_tensorrt_rtx
from lafi_kernels.tensorrt_plugin import PluginError, register_attention_plugin

FIRST_WITH_BF16: Final = (8, 0)
"""The lowest compute capability whose GPUs compute in bfloat16."""
_EXPECTED_ERRORS = (
    ArtifactsError,
    BuildError,
    CheckpointError,
    ExportError,
    GpuMissing,
    GraphError,
    ModelInfoError,
    ParityError,
    PluginError,
    PrecisionError,
    ProfileError,
    TensorRTMissing,
)


def build_command(
    checkpoint: Path,
    out: Path,
    *,
    options: BuildOptions | None = None,
    sides: tuple[int, int, int] | None = None,
    rows: int = MAX_ROWS,
    recogniser: Path | None = None,
    console: Console | None = None,
) -> int:
    """Export `checkpoint` to `out` and build its engines for the GPU of this machine, or for the
    capabilities of the options.

    sides: smallest, tuned and largest side of a picture in pixels, None for `Limits`' own.
    rows: of one denoiser call, at most.
    recogniser: as in `export_checkpoint`; it runs on the CPU.
    Returns the exit code: 0, or 1 with the reason printed. Without the GPU or the package that the
    options need nothing is begun. If the export or a build fails, `out` is as it was.
    """
    console = console or Console(highlight=False)
    options = options or BuildOptions()
    limits = (Limits() if sides is None else Limits(side=Range(*sides))).with_rows(rows)
    try:
        machine = machine_for(options)
        check_family(checkpoint, options)
        with ended_like_an_error():
            made = _build(checkpoint, out, machine, options, limits, recogniser, console)
    except _EXPECTED_ERRORS as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 1
    for metadata in made.values():
        built_for = metadata.gpu or f"compute capability {metadata.capability}"
        console.print(Text(f"{metadata.plan}: {metadata.precision}, {built_for}"))
    console.print(Text(f"lafi serve {out}", style="cyan"))
    return 0


def check_family(checkpoint: Path, options: BuildOptions) -> None:
    """Raises BuildError for a checkpoint of a family that is not known to become such plans.

    Reads configs alone. Raises CheckpointError for a folder that is none.
    """
    family, _ = check_checkpoint(checkpoint)
    builder = options.builder
    wrong = [name for name in options.capabilities if not _has_bf16(name)]
    if wrong and (options.precision or plan_precision_of(family)) == "bf16":
        allowed = ", ".join(filter(_has_bf16, RTX_CAPABILITIES))
        raise BuildError(
            f"capability: got {', '.join(wrong)}, allowed {allowed} with a model of the family "
            f"{family.name}, whose plans are in bf16"
        )
    if why := family.refused_runtimes.get(builder):
        raise BuildError(
            f"CHECKPOINT: got a model of the family {family.name}, allowed another one with "
            f"--target {builder}: {why}; leave out --target to draw it on the CPU"
        )


def _has_bf16(capability: str) -> bool:
    """capability: of RTX_CAPABILITIES."""
    return tuple(int(part) for part in RTX_CAPABILITIES[capability].split(".")) >= FIRST_WITH_BF16


def machine_for(options: BuildOptions) -> GpuMachine:
    """The GPU at hand, or what plans of TensorRT-RTX are for.

    Raises GpuMissing and TensorRTMissing.
    """
    return gpu_machine() if options.builder == "tensorrt" else rtx_machine(options)


def rtx_machine(options: BuildOptions) -> GpuMachine:
    """What plans of TensorRT-RTX are built for. Raises TensorRTMissing."""
    return GpuMachine(
        gpu="",
        capability=" ".join(RTX_CAPABILITIES[name] for name in options.capabilities),
        tensorrt=str(import_tensorrt_rtx().__version__),
        builder=options.builder,
    )


def _build(
    checkpoint: Path,
    out: Path,
    machine: GpuMachine,
    options: BuildOptions,
    limits: Limits,
    recogniser: Path | None,
    console: Console,
) -> dict[str, EngineMetadata]:
    def tell(step: str) -> None:
        console.print(Text(step), style="dim")

    if options.attention == "plugin":
        register_attention_plugin(int(machine.capability.replace(".", "")))
    made: dict[str, EngineMetadata] = {}
    runs_here = options.builder == "tensorrt"

    def build_plans(folder: Path) -> None:
        made.update(
            build_repository(
                folder,
                machine,
                build_engine,
                check=check_engine if runs_here else None,
                check_upscaler=check_network if runs_here else None,
                options=options,
                limits=limits,
                tell=tell,
            )
        )

    export_checkpoint(
        checkpoint,
        out,
        runtime="onnxruntime",
        recogniser=recogniser,
        finish=build_plans,
        tell=tell,
    )
    return made
