"""Kills and signals while the real server draws: nobody waits for ever, nothing is left."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from benchmarks.faults.served import Served, soon, start
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.server import processes
from lafi.server.triton_server import find_models
from lafi.server.watchdog import SHARED_MEMORY
from lafi.wire.contract import storyboard_to_tensors
from lafi_client import ServerUnavailable, StoryboardClient

MEDIUM = Storyboard(
    width=64,
    height=64,
    sampling=Sampling(stages=(SamplingStage(steps=40),)),
    panels=tuple(Panel(prompt="a child") for _ in range(12)),
)


@pytest.fixture(scope="module")
def serve(
    served_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Served]]:
    started: list[Served] = []

    def start_one() -> Served:
        started.append(start(served_repository, tmp_path_factory.mktemp("serve")))
        return started[-1]

    yield start_one
    for served in started:
        served.process.kill()
        served.process.communicate()


@pytest.fixture(scope="module")
def served(serve: Callable[[], Served]) -> Served:
    return serve()


def test_a_killed_model_process_is_told_at_once_and_the_storyboard_is_finished(
    served: Served, story_stream: Callable[[str], Any]
) -> None:
    numbers: list[int] = []
    first = threading.Event()

    def draw() -> None:
        with StoryboardClient(served.url) as client:
            for panel in client.draw(MEDIUM):
                numbers.append(panel.panel)
                first.set()

    drawing = threading.Thread(target=draw)
    drawing.start()
    stream = story_stream(served.url)
    stream.send(storyboard_to_tensors(MEDIUM))
    assert next(stream.answers()).kind == "accepted"
    assert first.wait(60)
    os.kill(served.model("storyboard"), signal.SIGKILL)
    assert soon(lambda: not served.is_ready(), 5)
    *_, last = stream.answers(5)
    assert "the process of the model storyboard died; it is being started again" in last
    assert "try again later" in last
    stream.close()
    assert soon(served.is_ready, 120)
    drawing.join(120)
    assert sorted(numbers) == list(range(12)), "each panel once, drawn in two lives of the server"


def test_sigterm_finishes_what_is_drawn_and_takes_nothing_new(served: Served) -> None:
    with StoryboardClient(served.url, retries=0) as client:
        panels = client.draw(MEDIUM)
        numbers = [next(panels).panel]
        served.process.send_signal(signal.SIGTERM)
        assert soon(lambda: not served.is_ready(), 5)
        with grpc.insecure_channel(served.url) as channel:
            call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
            with pytest.raises(grpc.RpcError) as refused:
                list(call(iter([b""]), timeout=10))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "the server is shutting down; try again later" in refused.value.details()
        hint = dict(refused.value.trailing_metadata())["retry-after"]
        assert int(hint) >= 1
        numbers += [panel.panel for panel in panels]
    assert sorted(numbers) == list(range(12))
    assert served.process.wait(30) == 0
    check_that_nothing_is_left(served)


def check_that_nothing_is_left(served: Served) -> None:
    """No process, no file in shared memory, no temporary file."""
    prefix = f"lafi-{served.process.pid}-"
    assert soon(lambda: not list(served.folder.iterdir()), 20)
    assert list(SHARED_MEMORY.glob(f"{prefix}*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vae_decoder", "text_encoder", "vae_encoder"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_every_other_model_process_is_watched_too(
    serve: Callable[[], Served], served_repository: Path, model: str, number: signal.Signals
) -> None:
    assert model in find_models(served_repository)
    served = serve()
    os.kill(served.model(model), number)
    assert soon(lambda: not served.is_ready(), 5)
    assert soon(served.is_ready, 120)
    with StoryboardClient(served.url) as client:
        assert len(client.draw_all(MEDIUM, only=[0])) == 1


@pytest.mark.slow
def test_nothing_outlives_a_supervisor_that_is_killed_while_it_draws(
    serve: Callable[[], Served],
) -> None:
    served = serve()
    with StoryboardClient(served.url, retries=0) as client:
        panels = client.draw(MEDIUM)
        next(panels)
        parts = served.parts()
        assert len(parts) >= 6
        served.process.kill()
        with pytest.raises(ServerUnavailable) as lost:
            list(panels)
        assert lost.value.retryable
    assert soon(lambda: all(processes.state_of(pid) in ("", "Z") for pid in parts), 20)
    check_that_nothing_is_left(served)
