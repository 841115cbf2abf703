"""CUDA behind the protocol `Device` of `lafi.engine.cuda.graphs`: one stream of one GPU.

Knows streams and graphs, not what runs in them. Not run yet: no machine with a GPU was at hand
when this was written.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lafi.model.engine_metadata import Shape


class CudaDevice:
    """`lafi.engine.cuda.graphs.Device`.

    What graphs allocate while they are captured lies in one pool of memory for all of them. That
    is safe because one graph runs at a time, all on one stream, and none of them keeps anything
    in the pool from one replay to the next: inputs and outputs lie outside.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        """device: None for the current one."""
        self._device = device or torch.device("cuda", torch.cuda.current_device())
        # TensorRT synchronises the whole device when it is run on the default stream.
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
        # Other threads of the process may use the GPU meanwhile.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            work()
        replay: Callable[[], None] = graph.replay
        return replay

    def finish(self) -> None:
        self._stream.synchronize()

    def hand_over(self, tensor: Tensor, like: Tensor) -> Tensor:
        """To the CPU it waits for this stream, and only then is it needed; on the GPU it never."""
        if like.device.type == "cpu":
            return tensor.cpu()
        copy = tensor.clone()
        # The caller uses it on another stream than the one it was allocated on.
        copy.record_stream(self._callers)
        return copy
