"""How a plan gets its execution contexts: TensorRT's way and TensorRT-RTX's.

TensorRT-RTX compiles kernels when it first meets a shape. Both need a GPU; not run yet.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from lafi_kernels.tensorrt_module import Builder

_log = logging.getLogger(__name__)


class Contexts(Protocol):
    """Execution contexts of one engine; all work in memory that the caller gives them."""

    captured: bool
    """Whether TensorRT captures CUDA graphs by itself, so that nobody else should."""

    def create(self) -> Any:
        """TensorRT's `IExecutionContext`."""

    def keep_kernels(self) -> None:
        """After the first run of a context: keep what was compiled for it."""


class BuiltKernels:
    """TensorRT's: all kernels are in the plan."""

    captured = False

    def __init__(self, trt: Any, engine: Any, file: Path) -> None:
        self._engine = engine
        self._strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED

    def create(self) -> Any:
        return self._engine.create_execution_context(self._strategy)

    def keep_kernels(self) -> None:
        """Nothing was compiled."""


class CompiledKernels:
    """TensorRT-RTX's: kernels are compiled for each shape before its first run, and kept in a file.

    Its default compiles them beside the first runs, which meanwhile take slower ones; a CUDA graph
    that is captured then would replay the slower ones for ever. So it compiles first, and captures
    graphs itself, as NVIDIA's documentation of TensorRT-RTX recommends for shapes that vary.
    """

    captured = True

    def __init__(self, trt: Any, engine: Any, file: Path) -> None:
        """file: read if it is there. TensorRT-RTX takes nothing of another GPU or version of it."""
        self._engine = engine
        self._file = file
        self._config = engine.create_runtime_config()
        self._config.set_execution_context_allocation_strategy(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        self._config.dynamic_shapes_kernel_specialization_strategy = eager
        self._config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._kernels = self._config.create_runtime_cache()
        if file.is_file() and not self._kernels.deserialize(file.read_bytes()):
            self._kernels.reset()
        self._config.set_runtime_cache(self._kernels)

    def create(self) -> Any:
        return self._engine.create_execution_context(self._config)

    def keep_kernels(self) -> None:
        """A folder that cannot be written to costs time at the next start, and nothing else."""
        try:
            # Whole or not at all: another process may read it.
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_name(f".{self._file.name}.{os.getpid()}")
            part.write_bytes(bytes(self._kernels.serialize()))
            part.replace(self._file)
        except OSError as error:
            _log.warning("%s: compiled kernels are not kept: %s", self._file, error)


CONTEXTS: Final[dict[Builder, Callable[[Any, Any, Path], Contexts]]] = {
    "tensorrt": BuiltKernels,
    "tensorrt-rtx": CompiledKernels,
}


def kernels_file(plan: Path, plan_sha256: str, capability: str, state: Path | None = None) -> Path:
    """Where kernels that are compiled for a plan are kept: a file for each kind of GPU.

    It lies beside the plan; where nothing can be written there, such as in an export that many
    pods share, in `kernels` below `state`.
    capability: of the GPU at hand, such as "8.9". state: the folder of the served repository that
    models may write to. It is not found from the plan: in a pod the artifacts are a link to an
    export elsewhere. None where nothing serves it.
    """
    name = f"{plan.name}.{plan_sha256[:12]}.sm{capability.replace('.', '')}.kernels"
    if state is None or os.access(plan.parent, os.W_OK):
        return plan.with_name(name)
    return state / "kernels" / name
