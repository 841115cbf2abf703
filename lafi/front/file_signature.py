"""Whether files have changed since they were read."""

from __future__ import annotations

from pathlib import Path

Signature = tuple[tuple[int, int, int], ...]


def signature(*paths: str | Path) -> Signature | None:
    """Changes when one of the files does; None while one is missing."""
    try:
        found = [Path(path).stat() for path in paths]
    except OSError:
        return None
    return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)
