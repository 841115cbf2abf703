"""Turns an exported repository into one for an NVIDIA GPU.

    OUT/artifacts/<engine>.plan and .plan.json        one for each exported ONNX file
    OUT/models/<text and VAE>/1/model.plan            the same plans, for Triton Server's own
                                                      TensorRT backend
    OUT/artifacts/upscaler/x4/network.plan            of each network that enlarges panels
    OUT/models/storyboard                             the Python model, which loads OURS itself

The ONNX files stay, so plans can be built again without the checkpoint. Knows files and specs;
what builds an engine is passed in, since that needs a GPU.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Final

import onnx

from lafi.engine.tensorrt.engines import ENGINE, PLANS, refit_graph
from lafi.model.artifacts import (
    DENOISER,
    REFERENCE,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_ENCODER,
    file_sha256,
)
from lafi.model.engine_metadata import EngineMetadata, GpuMachine
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo, load_model_info, load_variant_infos
from lafi.wire.model_spec import (
    ModelSpec,
    config_pbtxt,
    storyboard_spec,
    text_encoder_spec,
    vae_decoder_spec,
    vae_encoder_spec,
)
from lafi_export.ending import put_in_place
from lafi_export.recogniser_files import write_identity_models
from lafi_export.tensorrt_compare import CheckEngine
from lafi_export.tensorrt_graph import GraphChange, GraphError, write_graph
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
from lafi_export.upscaler.repository import write_upscaler_model
from lafi_export.upscaler.tensorrt import build_upscalers

OURS: Final = (DENOISER, REFERENCE)
"""ONNX files whose plans no served model has: we call them ourselves, in the denoiser's process."""
ARTIFACTS: Final = "artifacts"
MODELS: Final = "models"
SERVED_PLAN: Final = "model.plan"
TIMING_CACHE: Final = "tensorrt.timing"


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

    machine: the GPU that `build` builds for. check, check_upscaler: refuse an engine that disagrees
    with its ONNX file; None where none was really built. limits: shapes that the engines must take;
    batches of a served model never exceed its `max_batch_size`. Returns the metadata by ONNX file,
    without upscalers'. Until all plans are built, the repository serves what it did. Raises
    ProfileError, GraphError, PrecisionError, ModelInfoError, and BuildError, also for a repository
    with variants, since plans are built for the model alone.
    """
    artifacts = repository / ARTIFACTS
    info = load_model_info(artifacts)
    if variants := load_variant_infos(artifacts):
        names = ", ".join(other.variant for other in variants)
        raise BuildError(f"variants: got {names}, allowed none: plans are for the model alone")
    made = {}
    with tempfile.TemporaryDirectory(prefix=".tensorrt.", dir=repository) as work:
        for name in PLANS:
            tell(f"building {PLANS[name]}")
            own = _options_of(name, options)
            graph = Path(work) / name
            plan = _prepare(artifacts / name, graph, info, own, limits)
            plugins = build(
                graph, artifacts / PLANS[name], plan, timing_cache=artifacts / TIMING_CACHE
            )
            if own.refit or own.strip:
                _keep(graph, refit_graph(artifacts / PLANS[name]))
            made[name] = _describe(artifacts, name, info, machine, own, plan, plugins)
            if check is not None:
                tell(f"comparing {PLANS[name]} with {name}")
                check(artifacts / name, _plan_names(artifacts / name, info, limits), made[name])
    build_upscalers(
        artifacts,
        machine,
        build,
        timing_cache=artifacts / TIMING_CACHE,
        check=check_upscaler,
        tell=tell,
    )
    tell("writing the model repository")
    _write_models(repository, info, made, limits)
    return made


def served_specs(info: ModelInfo, limits: Limits) -> dict[str, ModelSpec]:
    """By ONNX file; a batch is at most what the engines are built for."""
    batch = limits.batch.largest
    text = text_encoder_spec(info, batch)
    # Unlike the Python backend, a plan needs every input.
    inputs = tuple(replace(tensor, optional=False) for tensor in text.inputs)
    return {
        TEXT_ENCODER: replace(text, inputs=inputs),
        VAE_ENCODER: vae_encoder_spec(info, batch),
        VAE_DECODER: vae_decoder_spec(info, batch),
    }


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
    source: Path, graph: Path, info: ModelInfo, options: BuildOptions, limits: Limits
) -> BuildPlan:
    """Write the graph that TensorRT is given; what to ask of it."""
    names = _plan_names(source, info, limits)
    if source.name == DENOISER:
        profile = denoiser_profile(info, limits)
    elif source.name == REFERENCE:
        profile = reference_profile(info, limits)
    else:
        profile = batched_profile(served_specs(info, limits)[source.name], info, limits)
    exact = tuple(port.name for port in input_ports(info) if port.exact)
    plugin = options.attention == "plugin"
    change = GraphChange(options.precision, names, plugin=plugin, exact_inputs=exact)
    return plan_build(profile, write_graph(source, graph, change), options)


def _plan_names(source: Path, info: ModelInfo, limits: Limits) -> dict[str, str]:
    """Inputs and outputs that a plan has under other names than its exported file.

    OURS have none: they are called by the names of `DenoiserBatch` and `ReferenceBatch`.
    """
    if source.name in OURS:
        return {}
    return served_names(source, served_specs(info, limits)[source.name])


def _describe(
    artifacts: Path,
    name: str,
    info: ModelInfo,
    machine: GpuMachine,
    options: BuildOptions,
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
        gpu=machine.gpu,
        capability=machine.capability,
        tensorrt=machine.tensorrt,
        precision=options.precision,
        profile=dict(plan.profile),
        attention_plugins=plugins,
        refittable=options.refit,
        stripped=options.strip,
    )
    metadata.save(artifacts)
    return metadata


def _options_of(name: str, options: BuildOptions) -> BuildOptions:
    """What holds for one engine: Triton Server's own backend cannot refit, so only OURS are
    refittable or stripped; VAEs stay fp32, since SDXL's overflows in fp16."""
    if name not in OURS:
        options = replace(options, refit=False, strip=False)
    if name in (VAE_ENCODER, VAE_DECODER):
        options = replace(options, precision="f32")
    return options


def _keep(graph: Path, target: Path) -> None:
    """The graph, and its weights if they lie beside it, under the names they refer to."""
    model = onnx.load(graph)
    data = target.with_name(f"{target.name}.data")
    data.unlink(missing_ok=True)
    if graph.with_name(f"{graph.name}.data").exists():
        onnx.save(model, target, save_as_external_data=True, location=data.name)
    else:
        onnx.save(model, target)


def _write_models(
    repository: Path, info: ModelInfo, made: Mapping[str, EngineMetadata], limits: Limits
) -> None:
    """Replace `models` by one that serves the plans."""
    work = Path(tempfile.mkdtemp(prefix=".models.", dir=repository))
    new, models = work / "new", repository / MODELS
    try:
        _write_storyboard(new / "storyboard", made[DENOISER])
        for name, spec in served_specs(info, limits).items():
            _write_served(new / spec.name, spec, repository / ARTIFACTS / made[name].plan)
        write_identity_models(new, f"../{ARTIFACTS}", info)
        write_upscaler_model(new, repository / ARTIFACTS, ENGINE, "KIND_GPU")
        put_in_place(new, models, work / "old")
    finally:
        shutil.rmtree(work)


def _write_storyboard(folder: Path, denoiser: EngineMetadata) -> None:
    spec = storyboard_spec()
    version = folder / "1"
    version.mkdir(parents=True)
    parameters = {
        "artifacts": f"../{ARTIFACTS}",
        "runtime": ENGINE,
        "precision": denoiser.precision,
    }
    text = config_pbtxt(spec, parameters=parameters, kind="KIND_GPU")
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    template = files("lafi_repository") / spec.name / "1" / "model.py"
    (version / "model.py").write_bytes(template.read_bytes())


def _write_served(folder: Path, spec: ModelSpec, plan: Path) -> None:
    """A model of Triton Server's TensorRT backend; the plan is linked, not copied, if it can."""
    (folder / "1").mkdir(parents=True)
    text = config_pbtxt(spec, backend=ENGINE, kind="KIND_GPU")
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    served = folder / "1" / SERVED_PLAN
    try:
        os.link(plan, served)
    except OSError:
        shutil.copyfile(plan, served)
