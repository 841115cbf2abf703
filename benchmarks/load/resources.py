"""Resources of the server's processes: memory, handles, threads, shared memory files."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.throughput.ours import counters
from lafi.server.supervisor import Supervisor
from lafi.serving import decoder_child

SHARED = Path("/dev/shm")
SERVER, CLIENT = "tritonserver", "client"


@dataclass(frozen=True, slots=True)
class Held:
    """The resources after a number of storyboards.

    resident (bytes), handles (open files and sockets) and threads: of each process, by the name
    of its model; also of the server and of this process, the client. shared_files,
    shared_bytes: of this server, in /dev/shm. bank_*: from /metrics.
    """

    storyboards: int
    seconds: float
    resident: Mapping[str, int]
    handles: Mapping[str, int]
    threads: Mapping[str, int]
    shared_files: int
    shared_bytes: int
    bank_entries: int
    bank_bytes: int
    bank_evictions: int

    def as_row(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def total(of: Mapping[str, int]) -> int:
    """The sum over the server and its models, without the client."""
    return sum(number for name, number in of.items() if name != CLIENT)


def held(server: Supervisor, storyboards: int, seconds: float) -> Held:
    """Reads all resources after a short pause. The server must be running."""
    counted = counters(server)
    main = psutil.Process(server.pid)
    named = {SERVER: main, CLIENT: psutil.Process()}
    for child in main.children(recursive=True):
        command = child.cmdline()
        # Processes that decode pictures come with the first one and are bounded by themselves.
        if decoder_child.__name__ not in command:
            named[model_of(command)] = child
    files = [path.stat().st_size for path in SHARED.glob(server.shared_memory_prefix + "*")]
    return Held(
        storyboards=storyboards,
        seconds=seconds,
        resident={name: process.memory_info().rss for name, process in named.items()},
        handles={name: process.num_fds() for name, process in named.items()},
        threads={name: process.num_threads() for name, process in named.items()},
        shared_files=len(files),
        shared_bytes=sum(files),
        bank_entries=round(counted["lafi_bank_entries"]),
        bank_bytes=round(counted["lafi_bank_bytes"]),
        bank_evictions=round(counted["lafi_bank_evictions_total"]),
    )


def model_of(command: list[str]) -> str:
    """The model that a stub of the Python backend runs, from its arguments; else the program.

    Models have one instance each, so names are unique. A stub gets the path of its model.py:
    REPOSITORY/models/NAME/1/model.py.
    """
    for argument in command:
        path = Path(argument)
        if path.name == "model.py" and len(path.parts) > 3:
            return path.parts[-3]
    return os.path.basename(command[0]) if command else "ended"
