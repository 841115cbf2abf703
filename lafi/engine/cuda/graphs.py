"""Runs a compiled engine with buffers and a CUDA graph for each shape, created on first use.

A call copies its inputs into the buffers of its padded shape, replays the graph and copies the
outputs out. Knows neither TensorRT nor CUDA: tests replace the protocols `CompiledEngine` and
`Device`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from lafi.engine.cuda.buffers import Padding
from lafi.model.engine_metadata import Shape

MAX_SHAPES = 16
"""Shapes with kept buffers and graphs: a dozen batch sizes at one or two picture sizes."""

Shapes = tuple[tuple[str, Shape], ...]
Made = TypeVar("Made")


class Session(Protocol):
    """A compiled engine prepared for one set of input shapes."""

    output_shapes: Mapping[str, Shape]

    def bind(self, name: str, tensor: Tensor) -> None:
        """Use this tensor for the input or output `name` from now on."""

    def enqueue(self) -> None:
        """Start computing on the device's current stream; returns at once."""


class CompiledEngine(Protocol):
    """A compiled network; inputs and outputs by name, with their types."""

    inputs: Mapping[str, torch.dtype]
    outputs: Mapping[str, torch.dtype]

    def session(self, shapes: Mapping[str, Shape]) -> Session:
        """Raises ValueError for shapes that it was not built for."""


class Device(Protocol):
    """The device that an engine runs on."""

    def empty(self, shape: Shape, dtype: torch.dtype) -> Tensor: ...

    def stream(self) -> AbstractContextManager[None]:
        """A context in which work is enqueued on the engine's stream, after all earlier work."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record `work` as a graph; the result replays it. `work` must have run once before."""

    def finish(self) -> None:
        """Wait for all enqueued work."""

    def hand_over(self, tensor: Tensor, like: Tensor) -> Tensor:
        """A copy of `tensor` for the caller, on the device of `like`."""


class LeastRecentlyUsed(Generic[Made]):
    """A cache of at most `most` things by key; calls `drop` with each one that it removes."""

    def __init__(self, most: int, drop: Callable[[Made], None]) -> None:
        if most < 1:
            raise ValueError(f"most: got {most}, allowed 1 or more")
        self._most = most
        self._drop = drop
        self._made: OrderedDict[Shapes, Made] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    def get(self, key: Shapes, make: Callable[[], Made]) -> Made:
        """The thing for `key`; calls `make` if there is none."""
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        while len(self._made) >= self._most:
            _, oldest = self._made.popitem(last=False)
            self._drop(oldest)
        made = self._made[key] = make()
        return made


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Buffers of one shape; `run` computes the outputs from the inputs."""

    session: Session
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    run: Callable[[], None]


class GraphRunner:
    """An engine as a function of tensors by name. One call runs at a time."""

    def __init__(
        self,
        engine: CompiledEngine,
        device: Device,
        padding: Padding,
        *,
        max_shapes: int = MAX_SHAPES,
        graphs: bool = True,
        stays: bool = False,
    ) -> None:
        """graphs: replay a captured graph; without, every call enqueues each kernel anew.

        stays: outputs stay on the device, wherever the caller's inputs are.
        """
        self._engine = engine
        self._device = device
        self._padding = padding
        self._graphs = graphs
        self._stays = stays
        # A graph must not be freed while it runs.
        self._prepared: LeastRecentlyUsed[_Prepared] = LeastRecentlyUsed(
            max_shapes, lambda _: device.finish()
        )
        self._lock = threading.Lock()

    def __call__(self, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Inputs by name, on the CPU or the GPU -> outputs, where `rows_of` is or on the device.

        The outputs are copies. Raises ValueError for a missing or unknown input and for a shape
        that the engine was not built for.
        """
        self._check_names(feed)
        shapes = tuple(
            (name, self._padding.shape(name, tuple(feed[name].shape)))
            for name in self._engine.inputs
        )
        first = feed[self._padding.rows_of]
        with self._lock, self._device.stream():
            prepared = self._prepared.get(shapes, lambda: self._prepare(dict(shapes)))
            for name, buffer in prepared.inputs.items():
                self._padding.write(name, feed[name], buffer)
            prepared.run()
            return {
                name: self._device.hand_over(
                    self._padding.cut(name, buffer, len(first)), buffer if self._stays else first
                )
                for name, buffer in prepared.outputs.items()
            }

    def _check_names(self, feed: Mapping[str, Tensor]) -> None:
        wanted = set(self._engine.inputs)
        if set(feed) != wanted:
            got, allowed = ", ".join(sorted(feed)), ", ".join(sorted(wanted))
            raise ValueError(f"inputs: got {got}, allowed {allowed}")

    def _prepare(self, shapes: dict[str, Shape]) -> _Prepared:
        session = self._engine.session(shapes)
        inputs = {
            name: self._device.empty(shapes[name], dtype).zero_()
            for name, dtype in self._engine.inputs.items()
        }
        outputs = {
            name: self._device.empty(session.output_shapes[name], dtype)
            for name, dtype in self._engine.outputs.items()
        }
        for name, tensor in (inputs | outputs).items():
            session.bind(name, tensor)
        run: Callable[[], None] = session.enqueue
        if self._graphs:
            # The first run does the setup that is not allowed during a capture.
            session.enqueue()
            self._device.finish()
            run = self._device.capture(session.enqueue)
        return _Prepared(session, inputs, outputs, run)
