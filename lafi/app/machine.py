"""Facts about this machine: memory, CPU flags, GPUs. Changes nothing."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lafi.server.system_files import text_of

_CGROUP = Path("sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One line of nvidia-smi: its name, memory in MiB, the driver's version and its compute
    capability, such as "8.9"; "" where the driver is too old to tell."""

    name: str
    memory_mib: int
    driver: str
    capability: str = ""


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that can be allocated now, within the cgroup's limit; None if Linux does not tell."""
    available = None
    for line in text_of(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit = text_of(root / _CGROUP / "memory.max")
    used = text_of(root / _CGROUP / "memory.current")
    if available is not None and limit.isdigit() and used.isdigit():
        available = min(available, max(0, int(limit) - int(used)))
    return available


def cpu_name_and_flags(root: Path = Path("/")) -> tuple[str, frozenset[str]]:
    """The CPU's name ("" if unknown) and the flags of its first core."""
    name, flags = "", frozenset[str]()
    for line in text_of(root / "proc/cpuinfo").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name" and not name:
            name = value
        if key == "flags":
            return name, frozenset(value.split())
    return name, flags


def shared_memory(folder: Path = Path("/dev/shm")) -> tuple[int, int] | None:
    """(total, free) bytes of the server's shared-memory folder; None if it does not exist."""
    if not folder.is_dir():
        return None
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def gpus(timeout: float = 10.0) -> tuple[Gpu, ...]:
    """The GPUs that nvidia-smi lists; empty if it is missing or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    for fields in (_FIELDS, _FIELDS[:-1]):
        query = [tool, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(
                query, capture_output=True, text=True, timeout=timeout, check=True
            )
        except subprocess.CalledProcessError:
            # An old driver does not know the last field, and then answers nothing at all.
            continue
        except (OSError, subprocess.SubprocessError):
            return ()
        rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
        return tuple(_gpu(row) for row in rows if len(row) == len(fields))
    return ()


_FIELDS = ("name", "memory.total", "driver_version", "compute_cap")


def _gpu(row: list[str]) -> Gpu:
    name, memory, driver, *capability = row
    return Gpu(name, int(memory) if memory.isdigit() else 0, driver, "".join(capability))
