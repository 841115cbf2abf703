"""What to ask of TensorRT for one engine, as plain data: flags, profile, what must come out.

Knows the names that TensorRT gives its flags, and calls nothing of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from lafi.model.engine_metadata import RTX_CAPABILITIES, ShapeRange
from lafi_export.tensorrt_graph import GpuPrecision
from lafi_kernels.tensorrt_module import Builder

Attention = Literal["plugin", "body"]
"""What computes the attention op: the fused kernel, or the function's standard operators."""

MAX_OPTIMIZATION: Final = 5


class BuildError(RuntimeError):
    """TensorRT did not build what was asked for; the text says what it said, or what to do."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a user may choose.

    refit: weights can be replaced by name in the built engine (LoRA without a new build).
    strip: the plan holds no weights; they are refitted from the ONNX when it is loaded.
    optimization: 0 (fast build) to 5 (fast engine). workspace: bytes that a kernel may use,
    0 for all there are. builder, capabilities: `tensorrt` builds for the GPU at hand, and takes
    none; `tensorrt-rtx` for these, without a GPU, and has neither the plugin nor what needs a
    driver to be built: refit and strip. precision: of all but the VAEs; None for the family's own.
    """

    builder: Builder = "tensorrt"
    capabilities: tuple[str, ...] = ()
    precision: GpuPrecision | None = None
    attention: Attention = "plugin"
    refit: bool = False
    strip: bool = False
    optimization: int = 3
    workspace: int = 0

    @classmethod
    def for_rtx(cls, capabilities: tuple[str, ...]) -> "BuildOptions":
        """For TensorRT-RTX, which has no plugin. capabilities: of RTX_CAPABILITIES."""
        return cls(builder="tensorrt-rtx", capabilities=capabilities, attention="body")

    def __post_init__(self) -> None:
        if not 0 <= self.optimization <= MAX_OPTIMIZATION:
            got = self.optimization
            raise ValueError(f"optimization: got {got}, allowed 0 to {MAX_OPTIMIZATION}")
        if self.workspace < 0:
            raise ValueError(f"workspace: got {self.workspace}, allowed 0 (all) or more bytes")
        unknown = [name for name in self.capabilities if name not in RTX_CAPABILITIES]
        if unknown:
            raise ValueError(f"capability: got {unknown[0]}, allowed {', '.join(RTX_CAPABILITIES)}")
        if self.builder == "tensorrt-rtx":
            self._check_rtx()
        elif self.capabilities:
            raise ValueError("capability: allowed with --target tensorrt-rtx alone")

    def _check_rtx(self) -> None:
        if not self.capabilities:
            raise ValueError(f"capability: got none, allowed {', '.join(RTX_CAPABILITIES)}")
        if self.attention == "plugin":
            raise ValueError("attention: got 'plugin', allowed 'body' with tensorrt-rtx")
        if self.refit or self.strip:
            raise ValueError("refit, strip: allowed with tensorrt alone: both need a driver")


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """One call of the builder. Flags by their names in `tensorrt`'s enumerations."""

    profile: Mapping[str, ShapeRange]
    attention_plugins: int
    """Plugin layers that the parsed network must have."""
    network_flags: tuple[str, ...]
    parser_flags: tuple[str, ...]
    builder_flags: tuple[str, ...]
    optimization: int
    workspace: int
    builder: Builder = "tensorrt"
    capabilities: tuple[str, ...] = ()
    """By their names in `ComputeCapability`; none: of the GPU at hand."""


class BuildEngine(Protocol):
    """`lafi_export.tensorrt_build.build_engine`, or what a test puts in its place."""

    def __call__(
        self, graph: Path, target: Path, plan: BuildPlan, *, timing_cache: Path | None = None
    ) -> int: ...


def plan_build(
    profile: Mapping[str, ShapeRange], attention_nodes: int, options: BuildOptions
) -> BuildPlan:
    """The plan of one engine whose graph has this many attention nodes."""
    plugins = attention_nodes if options.attention == "plugin" else 0
    return BuildPlan(
        profile=profile,
        attention_plugins=plugins,
        network_flags=("STRONGLY_TYPED", *(["PREFER_AOT_PYTHON_PLUGINS"] if plugins else [])),
        parser_flags=("NATIVE_INSTANCENORM", *(["ENABLE_PLUGIN_OVERRIDE"] if plugins else [])),
        builder_flags=_builder_flags(options),
        optimization=options.optimization,
        workspace=options.workspace,
        builder=options.builder,
        capabilities=options.capabilities,
    )


def check_plugins(graph: str, found: int, plan: BuildPlan) -> None:
    """Raises BuildError unless the parsed network has the plugin layers that were planned.

    TensorRT's parser says nothing when it takes the function's body instead of the plugin.
    """
    if found == plan.attention_plugins:
        return
    raise BuildError(
        f"{graph}: got {found} attention plugin layers after parsing, allowed "
        f"{plan.attention_plugins}, one for each LafiAttention node; the parser took the "
        "function's body for the others: register the plugin before parsing, write the graph "
        "with its plugin attributes, or ask for the body with attention='body'"
    )


def _builder_flags(options: BuildOptions) -> tuple[str, ...]:
    flags = []
    if options.precision == "f32":
        flags.append("TF32")
    if options.refit:
        flags.append("REFIT")
    elif options.strip:
        # The weights that come back are the same ones, so kernels may still depend on them.
        flags.append("REFIT_IDENTICAL")
    if options.strip:
        flags.append("STRIP_PLAN")
    return tuple(flags)
