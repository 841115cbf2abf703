"""Processes as Linux's /proc shows them: children, states, CPU time, environment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

SERVER_NAME = "LAFI_SERVER"
"""Environment variable of every process of a server: the server's name."""
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none for a process that is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def state_of(pid: int) -> str:
    """R, S, D ... as in `ps`; T: stopped; Z: dead, not yet reaped; "": gone."""
    fields = _fields(pid)
    return fields[0] if fields else ""


def cpu_seconds(pids: Collection[int]) -> float:
    """CPU time, user and system, of these processes so far; one that is gone counts 0."""
    return sum(sum(map(int, fields[11:13])) for pid in pids if (fields := _fields(pid))) / _TICKS


def children_of(parent: int) -> dict[int, list[str]]:
    """Its direct children: their pids, and their commands."""
    return {pid: _command(pid) for pid in _all() if _fields(pid)[1:2] == [str(parent)]}


def with_environment(name: str, value: str) -> list[int]:
    """Processes of this user that were started with this variable in their environment."""
    wanted = f"{name}={value}".encode()
    found = []
    for pid in _all():
        with suppress(OSError):
            if wanted in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found.append(pid)
    return [pid for pid in found if state_of(pid) not in ("", "Z", "X")]


def kill_with_environment(name: str, value: str, seconds: float = 10.0) -> None:
    """Kills all those, and waits until none is left, at most `seconds`."""
    deadline = time.monotonic() + seconds
    quiet = 0
    # Twice without a find: a process may be between its fork and its start.
    while quiet < 2 and time.monotonic() < deadline:
        found = [pid for pid in with_environment(name, value) if pid != os.getpid()]
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        time.sleep(0.02)


def wait_for_group(leader: int, seconds: float) -> None:
    """Waits up to `seconds` until no process of a killed group is left.

    Those whose parent died are ours where we are process 1, as in a container, and stay as dead
    until somebody asks for their end. The leader's own end has been asked for.
    """
    deadline = time.monotonic() + seconds
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            with suppress(ChildProcessError):
                while os.waitpid(-leader, os.WNOHANG)[0]:
                    pass
            os.killpg(leader, 0)
            time.sleep(0.01)


def _all() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]


def _command(pid: int) -> list[str]:
    with suppress(OSError):
        text = (_PROC / str(pid) / "cmdline").read_bytes()
        return [part.decode(errors="replace") for part in text.split(b"\0") if part]
    return []
