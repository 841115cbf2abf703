"""The front's process, seen from the supervisor: started, told, listened to, ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from lafi.front.control import (
    Close,
    Connect,
    Drain,
    FrontSettings,
    State,
    command_of_front,
    state_in,
)
from lafi.server import processes
from lafi.server.processes import SERVER_NAME

SILENT_SECONDS = 4.0
"""How long the front may be silent while it uses no CPU time."""
DEAF_SECONDS = 60.0
"""How long it may be silent at all."""


class FrontProcess:
    """One life of the front. Started at once."""

    def __init__(self, settings: FrontSettings, name: str, folder: Path, log: Path) -> None:
        """name: of the server. folder: working directory. log: its errors are appended to it."""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command_of_front(settings, sys.executable),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**os.environ, SERVER_NAME: name, "TMPDIR": str(folder)},
                start_new_session=True,
            )
        self._log = log
        self.state = State()
        self._heard = time.monotonic()
        self._heard_cpu = 0.0
        self._reader = threading.Thread(target=self._read, name="front", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, order: Connect | Close | Drain) -> None:
        """Send an order. A front that is dead hears nothing, which `trouble` finds."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(order.line())
            self._process.stdin.flush()

    def trouble(self) -> str | None:
        """Why it no longer does its work; None if it does."""
        code = self._process.poll()
        if code is not None:
            return f"the front ended with code {code}; its log is {self._log}"
        silent = time.monotonic() - self._heard
        if processes.state_of(self.pid) == "T":
            return "the front was stopped"
        quiet = processes.cpu_seconds([self.pid]) - self._heard_cpu < 0.1
        if silent > DEAF_SECONDS or (silent > SILENT_SECONDS and quiet):
            return f"the front has said nothing for {silent:.0f} s"
        return None

    @property
    def idle(self) -> bool:
        """Whether it takes nothing new and no client waits for an answer any more."""
        done = self.state.draining and not self.state.in_flight
        return done or self._process.poll() is not None

    def stop(self, seconds: float = 3.0) -> None:
        """End it; what it still has to send may take so many seconds."""
        self._hang_up()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._hang_up()
        self._reader.join(timeout=5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _hang_up(self) -> None:
        with suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            state = state_in(line)
            self.state = state
            self._heard_cpu = processes.cpu_seconds([self.pid])
            self._heard = time.monotonic()
