"""Stopping a server that is drawing: nobody waits for ever, and nothing is left behind."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lafi.board.storyboard import Panel, Storyboard
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Accepted, Failed
from lafi.wire.model_spec import config_pbtxt, storyboard_spec
from model_infos import save_facts

STORYBOARD = Storyboard(panels=(Panel(prompt="a beach"),))
# The adapter's own parts around a drawing that never ends, so that nothing has to be loaded.
MODEL = """
import time
from lafi.serving.admission import Admission
from lafi.wire.events import Accepted, Progress
from lafi.serving.service import StoryboardService
from lafi.board.storyboard import Panel, Storyboard
from lafi_repository.bridge import ResponseSender, stop_asked


def draw(storyboard, cancelled):
    yield Accepted(panels=1, portraits=0)
    while not cancelled():
        time.sleep(0.01)
        yield Progress(panel=0, step=1, steps=100)


class TritonPythonModel:
    def initialize(self, args):
        self.service = StoryboardService(draw, Admission(8), stop_asked=stop_asked)

    def execute(self, requests):
        for request in requests:
            storyboard = Storyboard(panels=(Panel(prompt="a beach"),))
            self.service.accept(lambda: storyboard, ResponseSender(request))

    def finalize(self):
        self.service.close()
"""


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Supervisor]:
    folder = tmp_path / "models" / "storyboard"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(MODEL)
    (folder / "config.pbtxt").write_text(config_pbtxt(storyboard_spec(), parameters={}))
    save_facts(tmp_path)
    with Supervisor(tmp_path, stop_timeout=6) as running:
        yield running


def group_of(pid: int) -> list[str]:
    """Commands of the processes in a group, without those that only wait to be reaped."""
    command = ["ps", "-eo", "pgid=,stat=,args="]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = (line.split(maxsplit=2) for line in found.stdout.splitlines())
    return [args for group, state, args in lines if group == str(pid) and state[0] != "Z"]


def test_what_is_in_flight_is_failed_as_retryable_and_nothing_is_left(
    endless: Supervisor, story_stream: Callable[[str], Any]
) -> None:
    pid = endless.pid
    assert pid is not None
    assert len(group_of(pid)) == 2, "the server and its model"
    drawing, waiting = story_stream(endless.grpc_url), story_stream(endless.grpc_url)
    for stream in (drawing, waiting):
        stream.send(storyboard_to_tensors(STORYBOARD))
        accepted = next(stream.answers())
        assert accepted == Accepted(panels=1, portraits=0, id=accepted.id)
    began = time.monotonic()
    endless.stop()
    assert time.monotonic() - began < 12, "streams that stay open do not hold it up for ever"
    for stream in (drawing, waiting):
        text = "UNAVAILABLE: the server is shutting down; try again later"
        assert list(stream.answers(5))[-1] == Failed(panel=None, error=text, retryable=True)
        stream.cancel()
    assert group_of(pid) == []
    assert list(Path("/dev/shm").glob(endless.shared_memory_prefix + "*")) == []
