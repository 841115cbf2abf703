"""Whoever kills the supervisor, its processes and files go."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lafi.server import processes
from lafi.server.processes import SERVER_NAME
from lafi.server.watchdog import Watchdog

SUPERVISOR = """
import os, subprocess, sys, time
from pathlib import Path
from lafi.server.processes import SERVER_NAME
from lafi.server.watchdog import Watchdog
name, folder = sys.argv[1], Path(sys.argv[2])
dog = Watchdog(name, [folder])
(folder / f"{name}-file").write_text("")
(folder / f"{name}-folder").mkdir()
(folder / f"{name}-folder" / "in it").write_text("")
# Its child leaves it and starts a session of its own, as an orphaned model process does.
code = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(60)"
subprocess.run([sys.executable, "-c", code], env={**os.environ, SERVER_NAME: name}, check=True)
print(dog.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def name() -> str:
    return f"lafi-test-{uuid.uuid4().hex}"


def gone(name: str, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while processes.with_environment(SERVER_NAME, name):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def supervisor(name: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "of somebody else").write_text("")
    command = [sys.executable, "-c", SUPERVISOR, name, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def test_a_killed_supervisor_leaves_nothing(
    supervisor: subprocess.Popen[str], name: str, tmp_path: Path
) -> None:
    assert supervisor.stdout is not None
    dog = int(supervisor.stdout.readline())
    assert len(processes.with_environment(SERVER_NAME, name)) == 1
    assert len(list(tmp_path.glob(f"{name}*"))) == 2
    supervisor.send_signal(signal.SIGKILL)
    assert gone(name)
    deadline = time.monotonic() + 10
    while processes.state_of(dog) not in ("", "Z"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [path.name for path in tmp_path.iterdir()] == ["of somebody else"]


def test_a_dismissed_watchdog_does_nothing(name: str, tmp_path: Path) -> None:
    dog = Watchdog(name, [tmp_path])
    (tmp_path / f"{name}-log").write_text("kept")
    assert dog.alive
    dog.dismiss()
    assert not dog.alive
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}-log"]


def test_processes_are_seen_as_they_are(name: str) -> None:
    environment = {**os.environ, SERVER_NAME: name}
    command = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(command, env=environment) as busy:
        assert processes.children_of(os.getpid())[busy.pid] == command
        deadline = time.monotonic() + 10
        while processes.cpu_seconds([busy.pid]) < 0.05:
            assert time.monotonic() < deadline
        busy.send_signal(signal.SIGSTOP)
        while processes.state_of(busy.pid) != "T":
            assert time.monotonic() < deadline
        processes.kill_with_environment(SERVER_NAME, name)
        assert processes.state_of(busy.pid) in ("", "Z")
    assert processes.state_of(busy.pid) == ""
    assert processes.cpu_seconds([busy.pid]) == 0
