"""Builds one engine: an ONNX file and a `BuildPlan` in, a plan file out.

The only place of the export that calls TensorRT's builder, or TensorRT-RTX's. The first needs a
GPU, the second none.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from lafi_export.tensorrt_plan import BuildError, BuildPlan, check_plugins
from lafi_kernels.tensorrt_module import import_builder


def build_engine(
    graph: Path,
    target: Path,
    plan: BuildPlan,
    *,
    timing_cache: Path | None = None,
    tensorrt: Any = None,
) -> int:
    """Write the compiled `graph` to `target` and return how many plugin layers it has.

    graph: as `lafi_export.tensorrt_graph.write_graph` left it. timing_cache: a file that is read
    if it is there and written afterwards, so that a second build takes less time; TensorRT-RTX
    has none. tensorrt: the module; left out, it is imported. The plugin, if the plan wants it, is
    registered already. Raises BuildError and TensorRTMissing.
    """
    trt = tensorrt or import_builder(plan.builder)
    # The logger must outlive all that is made with it.
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(_bits(trt.NetworkDefinitionCreationFlag, plan.network_flags))
    _parse(trt, network, logger, graph, plan)
    _let_attention_be_taken_apart(trt, network)
    plugins = count_plugins(trt, network)
    check_plugins(graph.name, plugins, plan)
    config = _configure(trt, builder, plan, graph.name)
    if timing_cache is not None:
        _use_timings(config, timing_cache)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise BuildError(
            f"{graph.name}: TensorRT built no engine; its own log says why. If it is OutOfMemory, "
            "fewer --rows or smaller --sides need less"
        )
    _write(target, serialized)
    if timing_cache is not None:
        _write(timing_cache, config.get_timing_cache().serialize())
    return plugins


def count_plugins(tensorrt: Any, network: Any) -> int:
    """Plugin layers of a parsed network."""
    kind = tensorrt.LayerType.PLUGIN_V3
    return sum(network.get_layer(i).type == kind for i in range(network.num_layers))


def _parse(trt: Any, network: Any, logger: Any, graph: Path, plan: BuildPlan) -> None:
    parser = trt.OnnxParser(network, logger)
    for name in plan.parser_flags:
        parser.set_flag(getattr(trt.OnnxParserFlag, name))
    if parser.parse_from_file(str(graph)):
        return
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    lines = [f"{error.node_name() or 'the graph'}: {error.desc()}" for error in errors]
    raise BuildError(f"{graph.name}: TensorRT cannot read it\n" + "\n".join(lines))


def _let_attention_be_taken_apart(trt: Any, network: Any) -> None:
    """Heads of widths without a fused kernel would otherwise stop the build."""
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.type == trt.LayerType.ATTENTION_INPUT:
            # A network gives its layers as of the base class.
            layer.__class__ = trt.IAttentionInputLayer
            layer.attention.decomposable = True


def _configure(trt: Any, builder: Any, plan: BuildPlan, graph: str) -> Any:
    config = builder.create_builder_config()
    # What is on by default and was not asked for is switched off, so that the plan says it all.
    for name in ("TF32",):
        config.clear_flag(getattr(trt.BuilderFlag, name))
    for name in plan.builder_flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    config.builder_optimization_level = plan.optimization
    if plan.workspace:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, plan.workspace)
    for place, name in enumerate(plan.capabilities):
        config.num_compute_capabilities = len(plan.capabilities)
        config.set_compute_capability(getattr(trt.ComputeCapability, name), place)
    profile = builder.create_optimization_profile()
    for name, shapes in plan.profile.items():
        profile.set_shape(name, shapes.smallest, shapes.tuned, shapes.largest)
    if config.add_optimization_profile(profile) < 0:
        raise BuildError(f"{graph}: TensorRT refused the profile {dict(plan.profile)}")
    return config


def _bits(flags: Any, names: tuple[str, ...]) -> int:
    return sum(1 << int(getattr(flags, name)) for name in names)


def _use_timings(config: Any, path: Path) -> None:
    kept = path.read_bytes() if path.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(kept), False):
        # It is of another GPU or version: start a new one.
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _write(path: Path, content: Any) -> None:
    """Whole or not at all: a plan that was cut off must never be loaded."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        # Whoever serves it may be another user than who built it.
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
