"""What the server's processes hold at a moment: memory, handles, threads, shared memory files."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.throughput.ours import counters
from lafi.supervisor import TritonServer

SHARED = Path("/dev/shm")
SERVER, CLIENT = "tritonserver", "client"


@dataclass(frozen=True, slots=True)
class Held:
    """After so many storyboards.

    resident: bytes of each process, by the name of its model; the server's and this process's,
    which is the client, beside. handles: open files and sockets of the server's processes.
    shared_files, shared_bytes: of this server, in /dev/shm. bank_*: as /metrics says.
    """

    storyboards: int
    seconds: float
    resident: Mapping[str, int]
    handles: int
    threads: int
    shared_files: int
    shared_bytes: int
    bank_entries: int
    bank_bytes: int
    bank_evictions: int

    @property
    def resident_total(self) -> int:
        """Bytes of the server and its models, without the client."""
        return sum(size for name, size in self.resident.items() if name != CLIENT)

    def as_row(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "resident_total": self.resident_total}


def held(server: TritonServer, storyboards: int, seconds: float) -> Held:
    """Reads it all, after a little rest. The server must be running."""
    counted = counters(server)
    main = psutil.Process(server.pid)
    children = main.children(recursive=True)
    resident = {SERVER: main.memory_info().rss, CLIENT: psutil.Process().memory_info().rss}
    for child in children:
        name = model_of(child.cmdline())
        resident[name] = resident.get(name, 0) + child.memory_info().rss
    files = [path.stat().st_size for path in SHARED.glob(server.shared_memory_prefix + "*")]
    return Held(
        storyboards=storyboards,
        seconds=seconds,
        resident=resident,
        handles=sum(process.num_fds() for process in (main, *children)),
        threads=sum(process.num_threads() for process in (main, *children)),
        shared_files=len(files),
        shared_bytes=sum(files),
        bank_entries=round(counted["lafi_bank_entries"]),
        bank_bytes=round(counted["lafi_bank_bytes"]),
        bank_evictions=round(counted["lafi_bank_evictions_total"]),
    )


def model_of(command: list[str]) -> str:
    """The model that a stub of the Python backend runs, from its arguments; else the program.

    A stub gets the path of its model.py: REPOSITORY/models/NAME/1/model.py.
    """
    for argument in command:
        path = Path(argument)
        if path.name == "model.py" and len(path.parts) > 3:
            return path.parts[-3]
    return os.path.basename(command[0]) if command else "ended"
