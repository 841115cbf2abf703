"""`lafi serve` in a process of its own, seen from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lafi.server import processes
from lafi.server.watchdog import SHARED_MEMORY


@dataclass
class Served:
    """A running `lafi serve`; `folder` holds its temporary files."""

    process: subprocess.Popen[str]
    url: str
    health: str
    folder: Path
    said: list[str] = field(default_factory=list)

    def is_ready(self) -> bool:
        """What /readyz says. Raises URLError where nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.health}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False

    def metric(self, name: str) -> float:
        """The sum of a metric's series; 0 while it is not exported."""
        with urllib.request.urlopen(f"{self.health}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, found))

    def restarts(self) -> float:
        """How often a part was started again."""
        return self.metric("lafi_restarts_total")

    def harm_since(self, restarts: float) -> list[str]:
        """What happened to it since its parts had been started again so often; nothing if none."""
        unhurt = self.is_ready() and self.restarts() == restarts
        return [] if unhurt else ["a part was started again"]

    def parts(self) -> list[int]:
        """All processes of the server but the supervisor and its watchdog."""
        names = {path.name.rsplit("-", 1)[0] for path in self.folder.glob("lafi-*")}
        return [pid for name in names for pid in processes.with_environment("LAFI_SERVER", name)]

    def model(self, name: str) -> int:
        """The process of a served model. Raises LookupError."""
        return self._part(f"/{name}/1/model.py")

    def front(self) -> int:
        """The front's process. Raises LookupError."""
        return self._own(lambda command: "lafi.front" in command)

    def triton(self) -> int:
        """Triton Server's process. Raises LookupError."""
        return self._own(lambda command: Path(command[0]).name == "tritonserver")

    def watchdog(self) -> int:
        """The process that cleans up after the supervisor. Raises LookupError."""
        found = processes.children_of(self.process.pid).items()
        for pid, command in found:
            if "lafi.server.watchdog" in command:
                return pid
        raise LookupError("no watchdog")

    def resident_bytes(self) -> int:
        """Memory of all parts together."""
        return sum(psutil.Process(pid).memory_info().rss for pid in self.parts())

    def kill(self) -> None:
        """SIGKILL to the supervisor and to every process of the server."""
        for pid in (self.process.pid, *self.parts()):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def left(self) -> list[str]:
        """What an ended server left: processes, temporary files, files in shared memory."""
        shared = SHARED_MEMORY.glob(f"lafi-{self.process.pid}-*")
        return [*map(str, self.parts()), *map(str, self.folder.iterdir()), *map(str, shared)]

    def _own(self, is_it: Callable[[list[str]], bool]) -> int:
        for pid in self.parts():
            with suppress(psutil.Error):
                command = psutil.Process(pid).cmdline()
                if command and is_it(command):
                    return pid
        raise LookupError("no such process")

    def _part(self, ends: str) -> int:
        for pid in self.parts():
            for child, command in processes.children_of(pid).items():
                if any(ends in part for part in command):
                    return child
        raise LookupError(f"no process of {ends}")


@contextmanager
def serve(
    repository: Path,
    folder: Path,
    options: Sequence[str] = (),
    before: Sequence[str] = (),
) -> Iterator[Served]:
    """A ready server with its temporary files in `folder`; ended in any case."""
    served = start(repository, folder, options, before)
    try:
        yield served
    finally:
        end(served)


def start(
    repository: Path,
    folder: Path,
    options: Sequence[str] = (),
    before: Sequence[str] = (),
    python: Sequence[str] = (sys.executable,),
) -> Served:
    """As `serve`, but it stays. before: a command that begins the server's. python: what runs it.

    Raises RuntimeError with what it said if it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [*python, "-m", "lafi.app.cli", "serve", str(repository)]
    ports = ["--grpc-port", "0", "--health-port", "0", "--threads", "1", "--grace", "60"]
    process = subprocess.Popen(
        [*before, *command, *ports, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "COLUMNS": "300"},
    )
    assert process.stdout is not None
    said: list[str] = []
    while not said or "stop with Ctrl-C" not in said[-1]:
        line = process.stdout.readline()
        if not line:
            process.wait()
            raise RuntimeError(f"the server did not start: {''.join(said)}")
        said.append(line)
    found = [re.search(rf"{name}\s+(\S+)", "".join(said)) for name in ("gRPC", "health")]
    url, health = (match.group(1) for match in found if match)
    return Served(process, url, health.removesuffix("/readyz"), folder, said)


def end(served: Served, seconds: float = 90.0) -> int:
    """SIGTERM, then SIGKILL; its exit status."""
    if served.process.poll() is None:
        served.process.send_signal(signal.SIGTERM)
    try:
        served.process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        served.process.kill()
        served.process.communicate()
    return served.process.returncode


def soon(is_so: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it becomes so within these seconds."""
    return seconds_until(is_so, seconds) is not None


def seconds_until(is_so: Callable[[], bool], most: float) -> float | None:
    """How long it took; None if it did not come within `most` seconds."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > most:
            return None
        time.sleep(0.02)
    return time.monotonic() - began
