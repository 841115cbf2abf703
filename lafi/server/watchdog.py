"""A small process that outlives the supervisor and cleans up after it.

It waits on a pipe of which only the supervisor holds the other end. When the supervisor dies, in
whatever way, the pipe ends; then every process of this server is killed, and what it left in
shared memory and in temporary folders is removed. They are known by the server's name: it stands
in the environment of every process, and begins the name of every file. So the watchdog needs to
be told nothing while the server runs, it also finds processes that have left their parent, and a
supervisor whose watchdog died just starts another.

Why not PR_SET_PDEATHSIG: it reaches a child but not the child's children, and it already fires
when the thread ends that started the child.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lafi.server.leftovers import remove_files
from lafi.server.processes import SERVER_NAME, kill_with_environment

SHARED_MEMORY = Path("/dev/shm")
_DONE = b"done"


class Watchdog:
    """The process, seen from the supervisor. Started at once."""

    def __init__(self, name: str, folders: Sequence[Path]) -> None:
        """name: of the server. folders: what begins with the name in them is removed."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lafi.server.watchdog", name, *map(str, folders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still watches."""
        return self._process.poll() is None

    def dismiss(self) -> None:
        """Let it end without doing anything: the supervisor has cleaned up itself."""
        try:
            self._process.communicate(_DONE, timeout=5)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()


def clean_up(name: str, folders: Sequence[Path]) -> None:
    """Kill the processes of the server `name` and remove its files."""
    kill_with_environment(SERVER_NAME, name)
    remove_files(name, folders)


def _watch(name: str, folders: Sequence[Path]) -> None:
    said = b""
    while part := os.read(0, 16):
        said += part
    if said != _DONE:
        clean_up(name, folders)


if __name__ == "__main__":
    _watch(sys.argv[1], [Path(folder) for folder in sys.argv[2:]])
