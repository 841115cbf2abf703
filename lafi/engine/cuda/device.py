"""CUDA behind the protocol `Device` of `lafi.engine.cuda.graphs`: one stream of one GPU.

Knows streams and graphs, not networks. Written without a GPU at hand and not run on one yet.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lafi.model.engine_metadata import Shape


class CudaDevice:
    """`lafi.engine.cuda.graphs.Device`.

    All graphs share one pool for the memory that they allocate during capture. This is safe
    because they run one at a time on one stream, and because inputs and outputs lie outside the
    pool, so that no graph needs pool memory from an earlier replay.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        """device: None takes the current device."""
        self._device = device or torch.device("cuda", torch.cuda.current_device())
        # Not the default stream: on that, TensorRT synchronises the whole device.
        self._stream = torch.cuda.Stream(self._device)
        self._callers = torch.cuda.current_stream(self._device)
        self._pool = torch.cuda.graph_pool_handle()

    def empty(self, shape: Shape, dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self._device)

    @contextmanager
    def stream(self) -> Iterator[None]:
        self._callers = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(self._callers)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            yield
        self._callers.wait_stream(self._stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads of the process may use the GPU during a capture.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            work()
        replay: Callable[[], None] = graph.replay
        return replay

    def finish(self) -> None:
        self._stream.synchronize()

    def hand_over(self, tensor: Tensor, like: Tensor) -> Tensor:
        """A copy to the CPU waits for the stream; a copy on the GPU does not."""
        if like.device.type == "cpu":
            return tensor.cpu()
        copy = tensor.clone()
        # The caller uses the copy on another stream than the one that allocated it.
        copy.record_stream(self._callers)
        return copy
