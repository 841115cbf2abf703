"""Loading plans of TensorRT-RTX: every name that the code calls exists in NVIDIA's bindings.

Running one needs a GPU, so objects are pretended; each refuses a name that the real class does not
have.
"""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pretended_classes import Pretended

from lafi.engine.tensorrt.contexts import CONTEXTS, CompiledKernels, kernels_file
from lafi.engine.tensorrt.session import TensorRTEngine, TensorRTSession
from lafi.model.engine_metadata import EngineMetadata, EngineMetadataError, ShapeRange
from lafi_kernels.tensorrt_module import import_tensorrt_rtx

pytest.importorskip("tensorrt_rtx_bindings", reason="the extra `rtx` is not installed")


@pytest.fixture(scope="module")
def trt() -> Any:
    return import_tensorrt_rtx()


@pytest.fixture
def calls() -> list[str]:
    return []


def engine_with(trt: Any, calls: list[str], accepts: bool = True) -> Any:
    """An engine whose compiled kernels are `b"kernels"`. accepts: takes those of a file."""
    kernels = Pretended(
        trt.IRuntimeCache,
        calls,
        serialize=lambda: b"kernels",
        deserialize=lambda content: (calls.append(f"read {content!r}"), accepts)[1],
    )
    config = Pretended(trt.IRuntimeConfig, calls, create_runtime_cache=lambda: kernels)
    return Pretended(
        trt.ICudaEngine,
        calls,
        create_runtime_config=lambda: config,
        create_execution_context=lambda given: ("context", given is config),
    )


def test_kernels_are_compiled_before_a_graph_is_captured(
    trt: Any, calls: list[str], tmp_path: Path
) -> None:
    contexts = CompiledKernels(trt, engine_with(trt, calls), tmp_path / "kernels")
    assert contexts.captured
    assert contexts.create() == ("context", True)
    assert [call.split("=")[-1] for call in calls if "=" in call] == [
        str(trt.DynamicShapesKernelSpecializationStrategy.EAGER),
        str(trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE),
    ]
    assert "IRuntimeConfig.set_runtime_cache" in calls
    assert not (tmp_path / "kernels").exists()


@pytest.mark.parametrize("accepts", [True, False])
def test_compiled_kernels_are_kept_and_read_again(
    trt: Any, calls: list[str], tmp_path: Path, accepts: bool
) -> None:
    file = tmp_path / "kernels"
    CompiledKernels(trt, engine_with(trt, calls), file).keep_kernels()
    assert file.read_bytes() == b"kernels"
    assert list(tmp_path.iterdir()) == [file]
    CompiledKernels(trt, engine_with(trt, calls, accepts), file)
    assert "read b'kernels'" in calls
    # Those of another GPU or version are not used.
    assert ("IRuntimeCache.reset" in calls) == (not accepts)


def test_a_folder_that_cannot_be_written_to_is_told(
    trt: Any, calls: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    contexts = CompiledKernels(trt, engine_with(trt, calls), tmp_path / "file" / "kernels")
    with caplog.at_level(logging.WARNING):
        contexts.keep_kernels()
    assert "compiled kernels are not kept" in caplog.text


def test_a_file_is_of_one_plan_and_one_kind_of_gpu(tmp_path: Path) -> None:
    plan = tmp_path / "denoiser.plan"
    name = "denoiser.plan.abababababab.sm89.kernels"
    assert kernels_file(plan, "ab" * 32, "8.9") == tmp_path / name
    names = {kernels_file(plan, hash_, at) for hash_ in ("a" * 64, "b" * 64) for at in ("8", "9")}
    assert len(names) == 4


def test_kernels_of_a_shared_export_are_kept_with_the_state_of_who_serves_it(
    trt: Any, calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, through the served models: tests/lafi/serving/test_kept_kernels.py."""
    plan, state = tmp_path / "claim" / "denoiser.plan", tmp_path / "pod" / "state"
    plan.parent.mkdir()
    assert kernels_file(plan, "a" * 64, "8.9", state).parent == plan.parent
    monkeypatch.setattr("os.access", lambda path, mode: False)
    file = kernels_file(plan, "a" * 64, "8.9", state)
    assert file.parent == state / "kernels"
    CompiledKernels(trt, engine_with(trt, calls), file).keep_kernels()
    assert file.read_bytes() == b"kernels"
    # Nothing serves it, such as while it is compared: no other folder is known.
    assert kernels_file(plan, "a" * 64, "8.9").parent == plan.parent


def test_kernels_are_kept_after_the_first_run_of_a_shape(trt: Any, calls: list[str]) -> None:
    context = Pretended(
        trt.IExecutionContext, calls, get_tensor_shape=lambda name: (1, 2), execute_async_v3=run
    )
    kept: list[int] = []
    session = TensorRTSession(context, {}, lambda: kept.append(1))
    assert kept == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.current_stream", lambda: SimpleNamespace(cuda_stream=0))
        session.enqueue()
        session.enqueue()
    assert kept == [1]


def run(stream: int) -> bool:
    return True


def test_every_name_of_the_runtime_exists(trt: Any) -> None:
    used = {
        trt.ICudaEngine: ("device_memory_size_v2", "create_runtime_config"),
        trt.IExecutionContext: (
            "execute_async_v3",
            "get_tensor_shape",
            "infer_shapes",
            "set_device_memory",
            "set_input_shape",
            "set_tensor_address",
        ),
        trt.Runtime: ("deserialize_cuda_engine", "engine_host_code_allowed"),
        trt.ExecutionContextAllocationStrategy: ("USER_MANAGED",),
    }
    missing = [(kind, name) for kind, names in used.items() for name in names
               if not hasattr(kind, name)]  # fmt: skip
    assert missing == []
    assert set(CONTEXTS) == {"tensorrt", "tensorrt-rtx"}


def test_a_plan_is_not_loaded_without_a_driver(trt: Any, tmp_path: Path) -> None:
    """The real runtime, as far as it comes here."""
    if has_driver():
        pytest.skip("this machine has a driver")
    metadata = EngineMetadata(
        plan="g.plan",
        plan_sha256="0" * 64,
        onnx_sha256="1" * 64,
        weights_sha256="2" * 64,
        builder="tensorrt-rtx",
        gpu="",
        capability="8.9",
        tensorrt="1.7.1.116",
        precision="f16",
        profile={"x": ShapeRange(smallest=(1,), tuned=(1,), largest=(1,))},
        attention_plugins=0,
    )
    plan = tmp_path / "g.plan"
    plan.write_bytes(b"plan")
    with pytest.raises((EngineMetadataError, RuntimeError, TypeError)):
        TensorRTEngine(plan, metadata, tmp_path / "kernels")


def has_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists()
