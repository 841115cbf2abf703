"""Everything our code calls of TensorRT exists in NVIDIA's bindings, and is called in order.

The engine library cannot run here, so objects are pretended; each refuses a name that the real
class does not have. What TensorRT-RTX shares is checked with its real parser and builder, in
`tests/tensorrt_rtx`.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pretended_classes import Pretended

from lafi.engine.tensorrt.session import TensorRTEngine, torch_type
from lafi.model.engine_metadata import EngineMetadata, EngineMetadataError, ShapeRange
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_plan import BuildError, BuildOptions, plan_build

PROFILE = {"x": ShapeRange(smallest=(1, 4), tuned=(2, 4), largest=(8, 4))}
EVERY_CHOICE = [
    BuildOptions(precision=precision, attention=attention, refit=refit, strip=strip)
    for precision in ("f16", "f32")
    for attention in ("plugin", "body")
    for refit in (False, True)
    for strip in (False, True)
]


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def pretend(trt: Any, calls: list[str]) -> Callable[..., Any]:
    """A module that parses to a network of `plugins` plugin layers and one more."""

    def module(plugins: int = 2) -> Any:
        kinds = [trt.LayerType.PLUGIN_V3] * plugins + [trt.LayerType.MATRIX_MULTIPLY]
        layers = [SimpleNamespace(type=kind) for kind in kinds]
        network = Pretended(
            trt.INetworkDefinition, calls, num_layers=len(layers), get_layer=layers.__getitem__
        )
        cache = Pretended(trt.ITimingCache, calls, serialize=lambda: b"timings")
        config = Pretended(
            trt.IBuilderConfig,
            calls,
            add_optimization_profile=lambda profile: 0,
            create_timing_cache=lambda content: content,
            get_timing_cache=lambda: cache,
            set_flag=lambda flag: calls.append(flag.name),
        )
        profile = Pretended(
            trt.IOptimizationProfile,
            calls,
            set_shape=lambda name, *shapes: calls.append(f"{name} {shapes}"),
        )
        builder = Pretended(
            trt.Builder,
            calls,
            create_network=lambda flags: (calls.append(f"network flags {flags}"), network)[1],
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: profile,
            build_serialized_network=lambda network, config: b"plan",
        )
        onnx_parser = Pretended(
            trt.OnnxParser, calls, set_flag=lambda flag: calls.append(flag.name)
        )
        fields = {name: getattr(trt, name) for name in dir(trt) if not name.startswith("_")}
        pretended = {"Builder": lambda logger: builder, "OnnxParser": lambda *_: onnx_parser}
        return SimpleNamespace(**(fields | pretended))

    return module


@pytest.mark.parametrize("options", EVERY_CHOICE, ids=str)
def test_every_flag_exists(trt: Any, options: BuildOptions) -> None:
    plan = plan_build(PROFILE, 2, options)
    for names, flags in (
        (plan.network_flags, trt.NetworkDefinitionCreationFlag),
        (plan.parser_flags, trt.OnnxParserFlag),
        (plan.builder_flags, trt.BuilderFlag),
    ):
        assert set(names) <= set(flags.__members__)


def test_a_build_calls_what_there_is(
    pretend: Callable[..., Any], calls: list[str], tmp_path: Path
) -> None:
    target, timings = tmp_path / "denoiser.plan", tmp_path / "timing"
    options = BuildOptions(refit=True, strip=True, optimization=4, workspace=2**30)
    plan = plan_build(PROFILE, 2, options)
    plugins = build_engine(
        tmp_path / "denoiser.onnx", target, plan, timing_cache=timings, tensorrt=pretend()
    )
    assert plugins == 2
    assert (target.read_bytes(), timings.read_bytes()) == (b"plan", b"timings")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["denoiser.plan", "timing"]
    assert "network flags 5" in calls  # bits 0 (strongly typed) and 2 (AOT plugins)
    for flag in ("ENABLE_PLUGIN_OVERRIDE", "REFIT", "STRIP_PLAN"):
        assert flag in calls
    assert "x ((1, 4), (2, 4), (8, 4))" in calls
    assert "IBuilderConfig.builder_optimization_level=4" in calls
    assert "IBuilderConfig.set_memory_pool_limit" in calls
    order = ["OnnxParser.parse_from_file", "Builder.build_serialized_network"]
    assert [call for call in calls if call in order] == order


@pytest.mark.parametrize("found", [0, 1, 3])
def test_plugins_that_were_inlined_stop_the_build(
    pretend: Callable[..., Any], calls: list[str], tmp_path: Path, found: int
) -> None:
    plan = plan_build(PROFILE, 2, BuildOptions())
    with pytest.raises(BuildError, match=rf"got {found} attention plugin layers .* allowed 2, one"):
        build_engine(tmp_path / "g.onnx", tmp_path / "g.plan", plan, tensorrt=pretend(found))
    assert "Builder.build_serialized_network" not in calls
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def metadata() -> EngineMetadata:
    return EngineMetadata(
        plan="denoiser.plan",
        plan_sha256="0" * 64,
        onnx_sha256="1" * 64,
        weights_sha256="2" * 64,
        gpu="NVIDIA H200",
        capability="9.0",
        tensorrt="11.4.0.106",
        precision="f16",
        profile=PROFILE,
        attention_plugins=0,
    )


def runtime_module(trt: Any, calls: list[str], engine: Any) -> Any:
    runtime = Pretended(trt.Runtime, calls, deserialize_cuda_engine=lambda content: engine)
    fields = {name: getattr(trt, name) for name in dir(trt) if not name.startswith("_")}
    return SimpleNamespace(**(fields | {"Runtime": lambda logger: runtime}))


def pretended_engine(trt: Any, calls: list[str]) -> Any:
    names = ["x", "y"]
    modes = {"x": trt.TensorIOMode.INPUT, "y": trt.TensorIOMode.OUTPUT}
    return Pretended(
        trt.ICudaEngine,
        calls,
        num_io_tensors=2,
        get_tensor_name=names.__getitem__,
        get_tensor_mode=modes.__getitem__,
        get_tensor_dtype=lambda name: trt.float32 if name == "x" else trt.float16,
    )


def test_a_loaded_plan_says_its_tensors(
    trt: Any, calls: list[str], metadata: EngineMetadata, tmp_path: Path
) -> None:
    plan = tmp_path / metadata.plan
    plan.write_bytes(b"plan")
    module = runtime_module(trt, calls, pretended_engine(trt, calls))
    engine = TensorRTEngine(plan, metadata, tmp_path / "kernels", module)
    assert engine.inputs == {"x": torch.float32}
    assert engine.outputs == {"y": torch.float16}
    with pytest.raises(ValueError, match=r"x: got shape \(9, 4\), allowed \(1, 4\) to \(8, 4\)"):
        engine.session({"x": (9, 4)})


def test_a_plan_that_tensorrt_cannot_load(
    trt: Any, calls: list[str], metadata: EngineMetadata, tmp_path: Path
) -> None:
    plan = tmp_path / metadata.plan
    plan.write_bytes(b"plan")
    with pytest.raises(EngineMetadataError, match=r"denoiser.plan: TensorRT cannot load it"):
        TensorRTEngine(plan, metadata, tmp_path / "kernels", runtime_module(trt, calls, None))


def test_every_name_of_the_runtime_exists(trt: Any) -> None:
    used = {
        trt.ICudaEngine: ("create_execution_context", "device_memory_size_v2"),
        trt.IExecutionContext: (
            "execute_async_v3",
            "get_tensor_shape",
            "infer_shapes",
            "set_device_memory",
            "set_input_shape",
            "set_tensor_address",
        ),
        trt.Refitter: ("get_missing_weights", "refit_cuda_engine"),
        trt.OnnxParserRefitter: ("refit_from_file",),
        trt.Runtime: ("engine_host_code_allowed",),
        trt.ExecutionContextAllocationStrategy: ("USER_MANAGED",),
        trt: ("Logger",),
    }
    missing = [(kind, name) for kind, names in used.items() for name in names
               if not hasattr(kind, name)]  # fmt: skip
    assert missing == []


def test_data_types(trt: Any) -> None:
    assert torch_type(trt, trt.DataType.BF16) == torch.bfloat16
    with pytest.raises(ValueError, match=r"dtype: got DataType.FP8, allowed FLOAT, HALF"):
        torch_type(trt, trt.DataType.FP8)
