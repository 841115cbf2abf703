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
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PREFIX: Final = "lafi-"
"""With which every server's name begins; its process's number and eight digits follow."""
_SUFFIX: Final = ".lives"
_NAME: Final = re.compile(r"lafi-[0-9]+-[0-9a-f]{8}")


class SignOfLife:
    """A lock that says that the server `name` lives; held from now until `release`."""

    def __init__(self, name: str, folder: Path) -> None:
        """folder: shared memory, where others look. Raises OSError."""
        self._file = folder / f"{name}{_SUFFIX}"
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Remove the file, and give up the lock."""
        self._file.unlink(missing_ok=True)
        os.close(self._descriptor)


def remove_leftovers(shared_memory: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    """Remove what servers left that are gone; their names.

    Without such a file of this user's, nothing is touched: anybody may write to shared memory.
    folders: those besides shared memory in which servers have files.
    """
    gone = []
    for sign in sorted(shared_memory.glob(f"{PREFIX}*{_SUFFIX}")):
        name = sign.name.removesuffix(_SUFFIX)
        if _NAME.fullmatch(name) and _is_free(sign):
            remove_files(name, (*folders, shared_memory))
            gone.append(name)
    return tuple(gone)


def _is_free(sign: Path) -> bool:
    """Whether nobody holds this lock; False for another user's file and for a link."""
    try:
        descriptor = os.open(sign, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_uid == os.getuid()
    except OSError:
        return False
    finally:
        os.close(descriptor)


def remove_files(name: str, folders: Sequence[Path]) -> None:
    """What begins with the name in these folders."""
    for folder in folders:
        for left in folder.glob(f"{name}*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
