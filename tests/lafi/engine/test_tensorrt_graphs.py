"""Buffers, padding and graphs of a compiled engine, with a pretended engine on the CPU."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.engine.cuda.buffers import Padding, padded_sizes
from lafi.engine.cuda.graphs import GraphRunner, LeastRecentlyUsed
from lafi.model.engine_metadata import Shape

PADDING = Padding(
    rows_of="x", axes={"x": {0: (1, 2, 4)}, "routes": {0: (1, 2, 4)}}, fill={"routes": -1}
)


class SumSession:
    """y = 2 x, and the sum of routes in every row of z; sees only the tensors it is bound to."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.output_shapes = {"y": shapes["x"], "z": shapes["routes"]}
        self.bound: dict[str, Tensor] = {}
        self.enqueued = 0

    def bind(self, name: str, tensor: Tensor) -> None:
        self.bound[name] = tensor

    def enqueue(self) -> None:
        self.enqueued += 1
        self.bound["y"].copy_(self.bound["x"] * 2)
        self.bound["z"].fill_(int(self.bound["routes"].sum()))


class SumEngine:
    def __init__(self) -> None:
        self.inputs = {"x": torch.float32, "routes": torch.int32}
        self.outputs = {"y": torch.float32, "z": torch.int32}
        self.sessions: list[SumSession] = []

    def session(self, shapes: Mapping[str, Shape]) -> SumSession:
        self.sessions.append(SumSession(shapes))
        return self.sessions[-1]


class CpuDevice:
    """Counts what a GPU would be asked for."""

    def __init__(self) -> None:
        self.captures = self.replays = self.waits = self.allocations = 0
        self.on_stream = False
        self.likes: list[Tensor] = []

    def empty(self, shape: Shape, dtype: torch.dtype) -> Tensor:
        self.allocations += 1
        assert self.on_stream
        return torch.full(shape, 77, dtype=dtype)

    @contextmanager
    def stream(self) -> Iterator[None]:
        self.on_stream = True
        yield
        self.on_stream = False

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            work()

        return replay

    def finish(self) -> None:
        self.waits += 1

    def hand_over(self, tensor: Tensor, like: Tensor) -> Tensor:
        self.likes.append(like)
        return tensor.clone().to(like.device)


@pytest.fixture
def engine() -> SumEngine:
    return SumEngine()


@pytest.fixture
def device() -> CpuDevice:
    return CpuDevice()


@pytest.fixture
def runner(engine: SumEngine, device: CpuDevice) -> GraphRunner:
    return GraphRunner(engine, device, PADDING, max_shapes=2)


def rows(count: int, width: int = 3, start: float = 1.0) -> dict[str, Tensor]:
    return {
        "x": torch.arange(count * width).reshape(count, width).float() + start,
        "routes": torch.zeros(count, dtype=torch.int32),
    }


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_batch_is_padded_and_cut_back(runner: GraphRunner, engine: SumEngine, count: int) -> None:
    feed = rows(count)
    made = runner(feed)
    assert torch.equal(made["y"], feed["x"] * 2)
    padded = {1: 1, 2: 2, 3: 4, 4: 4}[count]
    # Rows that were added read nothing: their routes are -1, not 0.
    assert made["z"].tolist() == [count - padded] * count
    assert engine.sessions[0].bound["x"].shape == (padded, 3)


def test_one_graph_serves_every_batch_that_is_padded_to_it(
    runner: GraphRunner, device: CpuDevice, engine: SumEngine
) -> None:
    runner(rows(4, start=5.0))
    allocated = device.allocations
    made = runner(rows(3))
    assert made["z"].tolist() == [-1] * 3  # nothing of the four rows before is left
    assert (device.captures, device.replays, len(engine.sessions)) == (1, 2, 1)
    assert device.allocations == allocated
    assert engine.sessions[0].enqueued == 1 + 2  # once before it is captured


def test_steps_do_not_wait_for_the_device(runner: GraphRunner, device: CpuDevice) -> None:
    runner(rows(2))
    before = device.waits
    for _ in range(5):
        runner(rows(2))
    assert device.waits == before


def test_what_was_returned_is_not_written_again(runner: GraphRunner) -> None:
    first = runner(rows(2))["y"]
    kept = first.clone()
    runner(rows(2, start=50.0))
    assert torch.equal(first, kept)


def test_the_oldest_shape_goes_when_there_are_too_many(
    runner: GraphRunner, device: CpuDevice, engine: SumEngine
) -> None:
    for width in (3, 5, 3, 7, 3, 5):
        runner(rows(1, width))
    # 3 stays, being used again and again; 5 made room for 7 and is made anew.
    assert [session.output_shapes["y"] for session in engine.sessions] == [
        (1, 3),
        (1, 5),
        (1, 7),
        (1, 5),
    ]
    # One wait for every capture, and one before each of the two that went.
    assert device.waits == 4 + 2


def test_without_graphs_every_call_is_enqueued(engine: SumEngine, device: CpuDevice) -> None:
    runner = GraphRunner(engine, device, PADDING, graphs=False)
    for _ in range(3):
        runner(rows(2))
    assert (device.captures, engine.sessions[0].enqueued) == (0, 3)


@pytest.mark.parametrize("stays", [False, True])
def test_outputs_go_to_the_caller_or_stay(
    engine: SumEngine, device: CpuDevice, stays: bool
) -> None:
    feed = rows(1)
    GraphRunner(engine, device, PADDING, stays=stays)(feed)
    bound = engine.sessions[0].bound
    wanted = [bound["y"], bound["z"]] if stays else [feed["x"]] * 2
    assert [id(like) for like in device.likes] == [id(like) for like in wanted]


def test_an_output_may_count_its_rows_in_another_axis() -> None:
    buffer = torch.arange(24).reshape(2, 4, 3)
    padding = replace(PADDING, row_axes={"y": 1})
    assert torch.equal(padding.cut("y", buffer, 3), buffer[:, :3])
    assert torch.equal(padding.cut("z", buffer, 1), buffer[:1])


def test_inputs_are_the_engines_own(runner: GraphRunner) -> None:
    feed = rows(1)
    del feed["routes"]
    with pytest.raises(ValueError, match="inputs: got x, allowed routes, x"):
        runner(feed)


def test_a_batch_that_is_too_large_is_refused(runner: GraphRunner) -> None:
    with pytest.raises(ValueError, match="x, axis 0: got size 5, allowed 0 to 4"):
        runner(rows(5))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 64), min_size=3, max_size=3).map(sorted))
def test_every_size_fits_into_a_padded_one(sizes: list[int]) -> None:
    smallest, tuned, largest = sizes
    padded = padded_sizes(smallest, tuned, largest)
    assert padded == tuple(sorted(set(padded)))
    assert {smallest, tuned, largest} <= set(padded)
    assert (padded[0], padded[-1]) == (smallest, largest)
    padding = Padding(rows_of="x", axes={"x": {0: padded}})
    for size in range(largest + 1):
        (run,) = padding.shape("x", (size,))
        assert run >= size
        assert run < 2 * size or run == smallest


def test_no_room_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="most: got 0, allowed 1 or more"):
        LeastRecentlyUsed[int](0, lambda _: None)
