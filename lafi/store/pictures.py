"""Pictures that clients have sent, kept so that they can be named instead of sent again.

Knows files and opaque names, not storyboards. A picture that is lost is only sent once more.
"""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

PICTURE_BYTES: Final = 256 * 2**20


class _File(NamedTuple):
    path: Path
    used: float
    size: int


class PictureStore:
    """A folder of this server's own, for its owner alone; every method is for any thread."""

    def __init__(
        self,
        folder: Path,
        *,
        retention: float,
        max_bytes: int = PICTURE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make the folder if needed. retention: seconds since a picture was sent or named.

        max_bytes: of all files; the one that was not used for longest goes first. Raises OSError.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder
        self._retention, self._max_bytes, self._clock = retention, max_bytes, clock
        self._lock = threading.Lock()
        self.expire()

    def put(self, name: str, data: bytes) -> None:
        """Keep a picture. name: letters and digits. Raises OSError."""
        path = self._folder / f"{name}.{hashlib.sha256(data).hexdigest()}"
        with self._lock:
            if not path.exists():
                if len(data) > self._max_bytes:
                    return
                self._make_room(len(data))
                self._write(path, data)
            self._use(path)

    def find(self, name: str) -> bytes | None:
        """A picture's file; None where it is not kept, or is damaged."""
        with self._lock:
            for path in self._folder.glob(f"{name}.*"):
                with suppress(OSError):
                    data = path.read_bytes()
                    if hashlib.sha256(data).hexdigest() == path.suffix[1:]:
                        self._use(path)
                        return data
                    path.unlink()
        return None

    def forget(self, sha256: str) -> int:
        """Erase a picture by the SHA-256 of its file; how many were there. Raises OSError."""
        with self._lock:
            found = [*self._folder.glob(f"*.{sha256}")]
            for path in found:
                path.unlink(missing_ok=True)
        return len(found)

    def expire(self) -> None:
        """Erase what nobody has sent or named for the retention. Raises OSError."""
        with self._lock:
            self._make_room(0)

    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self._files())

    def _make_room(self, more: int) -> None:
        files = self._files()
        whole = sum(file.size for file in files)
        before = self._clock() - self._retention
        for file in files:
            if file.used >= before and whole + more <= self._max_bytes:
                return
            file.path.unlink(missing_ok=True)
            whole -= file.size

    def _files(self) -> list[_File]:
        """What was not used for longest comes first."""
        files = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                facts = path.stat()
                files.append(_File(path, facts.st_mtime, facts.st_size))
        return sorted(files, key=lambda file: (file.used, file.path))

    def _write(self, path: Path, data: bytes) -> None:
        """Whole or not at all; not synced, since `find` notices what a crash has damaged."""
        descriptor, partial = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def _use(self, path: Path) -> None:
        now = self._clock()
        os.utime(path, (now, now))
