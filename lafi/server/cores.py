"""How many CPU cores this process may use, which in a container are fewer than the machine's."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Final

from lafi.server.system_files import text_of

_CGROUPS: Final = Path("sys/fs/cgroup")


def usable_cores(root: Path = Path("/")) -> float:
    """By its affinity and by the quota of its cgroup (v2, `cpu.max`) and of those that hold it."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    own = PurePosixPath(_own_cgroup(root))
    for group in (own, *own.parents):
        limit = root / _CGROUPS / group.relative_to("/") / "cpu.max"
        quota, _, period = text_of(limit).partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            cores = min(cores, int(quota) / int(period))
    return cores


def _own_cgroup(root: Path) -> str:
    """ "/" in a container, which sees its own cgroup as the root."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::/") and "/.." not in line:
            return line.removeprefix("0::")
    return "/"
