"""Where files of the store lie: a folder, or whatever fsspec reaches by a URL.

A file is there whole or not at all, and once `write` has returned it outlives a crash.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import fsspec

_PARTIAL = ".partial"
_PARTIAL_SECONDS = 3600.0
"""What is older was left by a writer that was killed."""
LEASES = "leases/"
"""Beginning of the names of files that are no panels."""


class Place(Protocol):
    """Files by name; a name may have folders before it, separated by /."""

    def read(self, name: str) -> bytes | None:
        """The file; None if there is none. Raises OSError."""

    def write(self, name: str, data: bytes) -> None:
        """Make or replace the file, durably. Raises OSError, and then there is no new file."""

    def remove(self, name: str) -> None:
        """Remove the file if it is there. Raises OSError."""

    def names(self) -> Iterator[tuple[str, int]]:
        """Every file with its size in bytes."""


def open_place(url: str) -> Place:
    """The place at a URL such as s3://bucket/folder, or at a path.

    Raises ValueError for a kind of URL that fsspec does not know or has no package for.
    """
    if "://" not in url:
        return Folder(Path(url))
    try:
        system, root = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise ValueError(f"store: got {url!r}, allowed: a folder, or a URL: {error}") from error
    if "file" in system.protocol:
        return Folder(Path(root))
    return ObjectStore(system, root)


class Folder:
    """A folder of this machine, for its owner alone."""

    def __init__(self, root: Path) -> None:
        """Make the folder if needed. Raises OSError."""
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        self._sweep()

    def read(self, name: str) -> bytes | None:
        """As `Place`."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """As `Place`: under another name first, synced, renamed, the folder synced."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(suffix=_PARTIAL, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def remove(self, name: str) -> None:
        """As `Place`."""
        (self._root / name).unlink(missing_ok=True)

    def names(self) -> Iterator[tuple[str, int]]:
        """As `Place`."""
        for path in sorted(self._root.rglob("*")):
            if path.is_file() and path.suffix != _PARTIAL:
                with suppress(FileNotFoundError):  # another server has removed it
                    yield path.relative_to(self._root).as_posix(), path.stat().st_size

    def _sweep(self) -> None:
        """Remove what a writer that was killed left behind; others may be writing right now."""
        before = time.time() - _PARTIAL_SECONDS
        for path in self._root.rglob(f"*{_PARTIAL}"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()


class ObjectStore:
    """What fsspec reaches; there a file appears whole when its upload ends."""

    def __init__(self, system: Any, root: str) -> None:
        """system: an `fsspec.AbstractFileSystem`. root: where in it the files lie."""
        self._system = system
        self._root = root.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """As `Place`."""
        try:
            data: bytes = self._system.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        """As `Place`."""
        self._system.pipe_file(f"{self._root}/{name}", data)

    def remove(self, name: str) -> None:
        """As `Place`."""
        try:
            self._system.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return

    def names(self) -> Iterator[tuple[str, int]]:
        """As `Place`."""
        self._system.invalidate_cache()
        found = self._system.find(self._root, detail=True)
        for path, about in sorted(found.items()):
            yield path[len(self._system._strip_protocol(self._root)) + 1 :], about["size"]


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
