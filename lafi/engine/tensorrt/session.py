"""TensorRT behind the protocols of `lafi.engine.cuda.graphs`.

Nothing else of the runtime calls it. It needs a GPU; the module is imported when an engine is
opened. Not run yet: no machine with a GPU was at hand when this was written.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lafi.engine.tensorrt.contexts import CONTEXTS
from lafi.model.engine_metadata import EngineMetadata, EngineMetadataError, Shape
from lafi_kernels.tensorrt_module import import_builder

ALIGNMENT = 256
"""Bytes; what TensorRT asks of the memory that its contexts work in."""


class TensorRTSession:
    """`lafi.engine.cuda.graphs.Session`: one execution context, for one set of shapes for ever.

    A context whose shapes change would invalidate its captured graphs, and TensorRT 11 up to
    11.2 keeps a plugin's CUDA module for every change (NVIDIA/TensorRT issue 4849).
    """

    def __init__(
        self, context: Any, outputs: Mapping[str, torch.dtype], after_first: Callable[[], None]
    ) -> None:
        """after_first: called once the first run was enqueued."""
        self._context = context
        self._after_first: Callable[[], None] | None = after_first
        self.output_shapes: Mapping[str, Shape] = {
            name: tuple(context.get_tensor_shape(name)) for name in outputs
        }

    def bind(self, name: str, tensor: Tensor) -> None:
        if not self._context.set_tensor_address(name, tensor.data_ptr()):
            raise RuntimeError(f"{name}: TensorRT refused the tensor's address")

    def enqueue(self) -> None:
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT could not enqueue the engine; its own log says why")
        if self._after_first is not None:
            self._after_first()
            self._after_first = None


class TensorRTEngine:
    """`lafi.engine.cuda.graphs.CompiledEngine`: a deserialised plan.

    All its contexts work in one piece of device memory, since one runs at a time.
    """

    def __init__(
        self, plan: Path, metadata: EngineMetadata, kernels: Path, tensorrt: Any = None
    ) -> None:
        """plan: a file whose metadata was checked. kernels: as `contexts.kernels_file` names it.

        Raises EngineMetadataError if it cannot load.
        """
        self._trt = tensorrt or import_builder(metadata.builder)
        self._metadata = metadata
        # Both must outlive the engine.
        self._logger = self._trt.Logger(self._trt.Logger.WARNING)
        self._runtime = self._trt.Runtime(self._logger)
        # Our own plans are checked by hash; this lets them bring the plugin's kernel along.
        self._runtime.engine_host_code_allowed = True
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise EngineMetadataError(f"{plan}: TensorRT cannot load it; its own log says why")
        self.inputs: Mapping[str, torch.dtype] = self._tensors(self._trt.TensorIOMode.INPUT)
        self.outputs: Mapping[str, torch.dtype] = self._tensors(self._trt.TensorIOMode.OUTPUT)
        self._scratch: Tensor | None = None
        self._contexts = CONTEXTS[metadata.builder](self._trt, self._engine, kernels)

    @property
    def captured(self) -> bool:
        """Whether it captures CUDA graphs by itself."""
        return self._contexts.captured

    @property
    def cuda_engine(self) -> Any:
        """TensorRT's own engine; it lives no longer than this object."""
        return self._engine

    def session(self, shapes: Mapping[str, Shape]) -> TensorRTSession:
        """A context for these shapes. Raises ValueError for one outside the profile."""
        self._metadata.check_shapes(shapes)
        context = self._contexts.create()
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise ValueError(f"{name}: TensorRT refused the shape {shape}")
        missing = context.infer_shapes()
        if missing:
            raise RuntimeError(f"TensorRT wants the shapes of {', '.join(missing)} too")
        scratch = self._working_memory()
        context.set_device_memory(scratch.data_ptr(), scratch.numel())
        return TensorRTSession(context, self.outputs, self._contexts.keep_kernels)

    def refit_from_onnx(self, graph: Path) -> None:
        """Give a stripped plan the weights of the graph that it was built from."""
        refitter = self._trt.Refitter(self._engine, self._logger)
        parser = self._trt.OnnxParserRefitter(refitter, self._logger)
        if not parser.refit_from_file(str(graph)) or not refitter.refit_cuda_engine():
            missing = refitter.get_missing_weights()
            raise EngineMetadataError(f"{graph}: has no weights for {', '.join(missing[:5])}")

    def _working_memory(self) -> Tensor:
        if self._scratch is None:
            size = max(int(self._engine.device_memory_size_v2), ALIGNMENT)
            self._scratch = torch.empty(size, dtype=torch.uint8, device="cuda")
        return self._scratch

    def _tensors(self, mode: Any) -> dict[str, torch.dtype]:
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        return {
            name: torch_type(self._trt, self._engine.get_tensor_dtype(name))
            for name in names
            if self._engine.get_tensor_mode(name) == mode
        }


def torch_type(tensorrt: Any, kind: Any) -> torch.dtype:
    """TensorRT's data type as torch's. Raises ValueError for one that no engine of ours has."""
    for name, dtype in _TYPES.items():
        if kind == getattr(tensorrt.DataType, name):
            return dtype
    raise ValueError(f"dtype: got {kind}, allowed {', '.join(_TYPES)}")


_TYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "BOOL": torch.bool,
}
