"""Turns an exported repository into one for an NVIDIA GPU.

    OUT/artifacts/<engine>.plan and .plan.json        one for each exported ONNX file
    OUT/models/<text and VAE>/1/model.plan            the same plans, for Triton Server's own
                                                      TensorRT backend
    OUT/artifacts/upscaler/x4/network.plan            of each network that enlarges panels
    OUT/models/storyboard                             the Python model, which loads OURS itself

With TensorRT-RTX no `model.plan` is there: our Python models load all plans from the artifacts.

The ONNX files stay, so plans can be built again without the checkpoint. Knows files and specs;
what builds an engine is passed in.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import onnx

from lafi.engine.tensorrt.engines import PLANS, refit_graph
from lafi.model.artifacts import (
    ARTIFACTS,
    DENOISER,
    REFERENCE,
    VAE_DECODER,
    VAE_ENCODER,
    file_sha256,
)
from lafi.model.engine_metadata import EngineMetadata, GpuMachine, ShapeRange
from lafi.model.families.registry import family_of, input_ports
from lafi.model.family import plan_precision_of
from lafi.model.info import ModelInfo, load_model_info, load_variant_infos
from lafi.wire.model_spec import ModelSpec
from lafi_export.tensorrt_compare import CheckEngine
from lafi_export.tensorrt_graph import GpuPrecision, GraphChange, GraphError, write_graph
from lafi_export.tensorrt_models import (
    OwnBackend,
    ServersBackend,
    Serving,
    write_models,
)
from lafi_export.tensorrt_plan import (
    BuildEngine,
    BuildError,
    BuildOptions,
    BuildPlan,
    plan_build,
)
from lafi_export.tensorrt_profiles import (
    Limits,
    batched_profile,
    denoiser_profile,
    reference_profile,
)
from lafi_export.upscaler.tensorrt import build_upscalers
from lafi_kernels.tensorrt_module import Builder

OURS: Final = (DENOISER, REFERENCE)
"""ONNX files whose plans no served model has: we call them ourselves, in the denoiser's process."""
TIMING_CACHE: Final = "tensorrt.timing"

_SERVING: Final[dict[Builder, Serving]] = {
    "tensorrt": ServersBackend(),
    "tensorrt-rtx": OwnBackend(),
}


def build_repository(
    repository: Path,
    machine: GpuMachine,
    build: BuildEngine,
    *,
    check: CheckEngine | None = None,
    check_upscaler: CheckEngine | None = None,
    options: BuildOptions = BuildOptions(),  # noqa: B008 (immutable)
    limits: Limits = Limits(),  # noqa: B008
    tell: Callable[[str], None] = lambda step: None,
) -> dict[str, EngineMetadata]:
    """Build all plans of a repository that `lafi export` wrote, then serve those.

    machine: the GPU, or the kinds of GPU, that `build` builds for. check, check_upscaler: refuse
    an engine that disagrees with its ONNX file; None where none was built that runs here. limits:
    shapes that the engines must take;
    batches of a served model never exceed its `max_batch_size`. Returns the metadata by ONNX file,
    without upscalers'. Until all plans are built, the repository serves what it did. Raises
    ProfileError, GraphError, PrecisionError, ModelInfoError, and BuildError, also for a repository
    with variants, since plans are built for the model alone.
    """
    artifacts = repository / ARTIFACTS
    info = load_model_info(artifacts)
    if variants := load_variant_infos(artifacts):
        named = ", ".join(other.variant for other in variants)
        raise BuildError(f"variants: got {named}, allowed none: plans are for the model alone")
    serving = _SERVING[options.builder]
    timings = artifacts / TIMING_CACHE if options.builder == "tensorrt" else None
    made = {}
    with tempfile.TemporaryDirectory(prefix=".tensorrt.", dir=repository) as work:
        for name in PLANS:
            tell(f"building {PLANS[name]}")
            own, precision = _options_of(name, options, info)
            graph = Path(work) / name
            names = _plan_names(artifacts / name, info, limits, serving)
            plan = _prepare(artifacts / name, graph, names, info, own, precision, limits, serving)
            plugins = build(graph, artifacts / PLANS[name], plan, timing_cache=timings)
            if own.refit or own.strip:
                _keep(graph, refit_graph(artifacts / PLANS[name]))
            made[name] = _describe(artifacts, name, info, machine, own, precision, plan, plugins)
            if check is not None:
                tell(f"comparing {PLANS[name]} with {name}")
                check(artifacts / name, names, made[name])
    build_upscalers(
        artifacts,
        machine,
        build,
        timing_cache=timings,
        options=options,
        check=check_upscaler,
        tell=tell,
    )
    tell("writing the model repository")
    write_models(repository, info, made, limits, serving)
    return made


def served_names(graph: Path, spec: ModelSpec) -> dict[str, str]:
    """Exported names of inputs and outputs -> those of the spec, in order. Raises GraphError."""
    model = onnx.load(graph, load_external_data=False).graph
    names: dict[str, str] = {}
    for role, there, wanted in (
        ("inputs", model.input, spec.inputs),
        ("outputs", model.output, spec.outputs),
    ):
        if len(there) != len(wanted):
            got = ", ".join(value.name for value in there)
            allowed = ", ".join(tensor.name for tensor in wanted)
            raise GraphError(f"{graph.name}: {role}: got {got}, allowed as many as {allowed}")
        names |= {value.name: tensor.name for value, tensor in zip(there, wanted, strict=True)}
    return names


def _prepare(
    source: Path,
    graph: Path,
    names: Mapping[str, str],
    info: ModelInfo,
    options: BuildOptions,
    precision: GpuPrecision,
    limits: Limits,
    serving: Serving,
) -> BuildPlan:
    """Write the graph that TensorRT is given; what to ask of it."""
    if source.name == DENOISER:
        profile = denoiser_profile(info, limits)
    elif source.name == REFERENCE:
        profile = reference_profile(info, limits)
    else:
        profile = _served_profile(source, info, limits, serving)
    exact = tuple(port.name for port in input_ports(info) if port.exact)
    plugin = options.attention == "plugin"
    change = GraphChange(precision, names, plugin=plugin, exact_inputs=exact)
    return plan_build(profile, write_graph(source, graph, change), options)


def _served_profile(
    source: Path, info: ModelInfo, limits: Limits, serving: Serving
) -> dict[str, ShapeRange]:
    """Of a text encoder or VAE, by the names that its plan has."""
    spec = serving.specs(info, limits)[source.name]
    profile = batched_profile(spec, info, limits)
    if serving.renames:
        return profile
    exported = {served: name for name, served in served_names(source, spec).items()}
    return {exported[name]: shapes for name, shapes in profile.items()}


def _plan_names(source: Path, info: ModelInfo, limits: Limits, serving: Serving) -> dict[str, str]:
    """Inputs and outputs that a plan has under other names than its exported file.

    OURS have none: they are called by the names of `DenoiserBatch` and `ReferenceBatch`.
    """
    if source.name in OURS or not serving.renames:
        return {}
    return served_names(source, serving.specs(info, limits)[source.name])


def _describe(
    artifacts: Path,
    name: str,
    info: ModelInfo,
    machine: GpuMachine,
    options: BuildOptions,
    precision: GpuPrecision,
    plan: BuildPlan,
    plugins: int,
) -> EngineMetadata:
    """The metadata of a plan that was just built, written beside it."""
    file = artifacts / PLANS[name]
    metadata = EngineMetadata(
        plan=file.name,
        plan_sha256=file_sha256(file),
        onnx_sha256=info.onnx_sha256[name],
        weights_sha256=info.weights_sha256,
        builder=machine.builder,
        gpu=machine.gpu,
        capability=machine.capability,
        tensorrt=machine.tensorrt,
        precision=precision,
        profile=dict(plan.profile),
        attention_plugins=plugins,
        refittable=options.refit,
        stripped=options.strip,
    )
    metadata.save(artifacts)
    return metadata


def _options_of(
    name: str, options: BuildOptions, info: ModelInfo
) -> tuple[BuildOptions, GpuPrecision]:
    """What holds for one engine, and its precision: the family's where none is asked for.

    Triton Server's own backend cannot refit, so only OURS are refittable or stripped; VAEs stay
    fp32, since SDXL's overflows in fp16.
    """
    precision: GpuPrecision = options.precision or plan_precision_of(family_of(info))
    if name not in OURS:
        options = replace(options, refit=False, strip=False)
    if name in (VAE_ENCODER, VAE_DECODER):
        precision = "f32"
    return replace(options, precision=precision), precision


def _keep(graph: Path, target: Path) -> None:
    """The graph, and its weights if they lie beside it, under the names they refer to."""
    model = onnx.load(graph)
    data = target.with_name(f"{target.name}.data")
    data.unlink(missing_ok=True)
    if graph.with_name(f"{graph.name}.data").exists():
        onnx.save(model, target, save_as_external_data=True, location=data.name)
    else:
        onnx.save(model, target)
