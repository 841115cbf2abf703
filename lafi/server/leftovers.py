"""Files of servers that died together with their watchdogs, as when a container is killed.

A server's name stands at the beginning of all its files. While it lives it holds a lock on a file
of its own in shared memory; the lock goes with the process, the file stays. So who gets the lock
of another name knows that this server is gone, also from within another container.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lafi.server.processes import SERVER_NAME, kill_with_environment

PREFIX: Final = "lafi-"
"""With which every server's name begins; its process's number and eight digits follow."""
_SUFFIX: Final = ".lives"
_NAME: Final = re.compile(r"lafi-[0-9]+-[0-9a-f]{8}")


class SignOfLife:
    """A lock that says that the server `name` lives; held from now until `release`."""

    def __init__(self, name: str, folder: Path) -> None:
        """folder: shared memory, where others look. Raises OSError."""
        self._file = folder / f"{name}{_SUFFIX}"
        self._descriptor = _locked(self._file)
        # Another start may have found the file without a lock, and removed it.
        while not _is_open(self._file, self._descriptor):
            os.close(self._descriptor)
            self._descriptor = _locked(self._file)

    def release(self) -> None:
        """Remove the file, and give up the lock."""
        self._file.unlink(missing_ok=True)
        os.close(self._descriptor)


def remove_leftovers(shared_memory: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    """End and remove what servers left that are gone; their names.

    Nothing is touched of a server that has no such file, or whose file is another user's: anybody
    may write to shared memory. folders: those besides it in which servers have files.
    """
    gone = []
    for sign in sorted(shared_memory.glob(f"{PREFIX}*{_SUFFIX}")):
        name = sign.name.removesuffix(_SUFFIX)
        if _NAME.fullmatch(name) is None:
            continue
        with _of_the_dead(sign) as is_dead:
            if is_dead:
                kill_with_environment(SERVER_NAME, name)
                remove_files(name, (*folders, shared_memory))
                gone.append(name)
    return tuple(gone)


def remove_files(name: str, folders: Sequence[Path]) -> None:
    """What is this user's and begins with the name in these folders, the sign of life last."""
    found = [left for folder in folders for left in folder.glob(f"{name}*")]
    for left in sorted(found, key=lambda left: left.name == f"{name}{_SUFFIX}"):
        with suppress(OSError):
            if left.lstat().st_uid != os.getuid():
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _locked(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _is_open(file: Path, descriptor: int) -> bool:
    """Whether this path is still the file that is open."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _of_the_dead(sign: Path) -> Iterator[bool]:
    """Whether nobody else holds this lock, which is held meanwhile.

    False for another user's file, for a link, and for one that was removed meanwhile.
    """
    try:
        descriptor = os.open(sign, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        own = os.fstat(descriptor).st_uid == os.getuid()
        yield own and _is_free(descriptor) and _is_open(sign, descriptor)
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """Whether nobody else held its lock, which is ours then."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
