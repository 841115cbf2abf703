"""Decodes pictures in a process of its own, since image files come from strangers.

What a file does to its decoder (a crash, memory, time) ends that process and refuses that
picture, and nothing else. Knows files and pixels.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from PIL import Image

from lafi.board.image_file import ImageFileError
from lafi.serving.decoder_child import CPU_SECONDS, LENGTH, SIZE

SECONDS: Final = 4.0 * CPU_SECONDS
"""For one picture: the machine may be busy."""
_CHILD: Final = "lafi.serving.decoder_child"
_AT_ONCE: Final = 2**20
"""Bytes moved by one call, and asked for as a pipe's size."""


class _ChildError(Exception):
    """The process ended, or took too long."""


class PictureDecoder:
    """`decode` for many threads, which take turns: one picture at a time is in memory there."""

    def __init__(self, seconds: float = SECONDS) -> None:
        """seconds: for one picture. The process is started by the first picture, and ends at the
        latest when this one does."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def decode(self, data: bytes) -> Image.Image:
        """As `lafi.board.image_file.decode`; a file that ends the process is refused as well."""
        with self._lock:
            if self._child is None or not self._child.is_alive():
                self._child = _Child()
            try:
                return self._child.decode(data, time.monotonic() + self._seconds)
            except _ChildError as ended:
                self._child.close()
                self._child = None
                got = f"an image that could not be decoded ({ended})"
                raise ImageFileError(got, "a whole image file") from ended

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._child is not None:
                self._child.close()
                self._child = None


class _Child:
    """One process with its two pipes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [_python(), "-P", "-m", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._to, self._from):
            os.set_blocking(pipe, False)

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def decode(self, data: bytes, deadline: float) -> Image.Image:
        """Raises ImageFileError, and _ChildError where no answer came."""
        self._write(LENGTH.pack(len(data)), deadline)
        self._write(data, deadline)
        if self._read(1, deadline) == b"R":
            (length,) = LENGTH.unpack(self._read(LENGTH.size, deadline))
            raise ImageFileError(*json.loads(self._read(length, deadline)))
        width, height = SIZE.unpack(self._read(SIZE.size, deadline))
        pixels = self._read(4 * width * height, deadline)
        return Image.frombuffer("RGBA", (width, height), pixels, "raw", "RGBA", 0, 1)

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _write(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        while left:
            self._wait(self._to, select.POLLOUT, deadline)
            try:
                left = left[os.write(self._to, left[:_AT_ONCE]) :]
            except BrokenPipeError:
                raise _ChildError(self._how()) from None

    def _read(self, size: int, deadline: float) -> bytearray:
        found = bytearray(size)
        left = memoryview(found)
        while left:
            self._wait(self._from, select.POLLIN, deadline)
            count = os.readv(self._from, [left[:_AT_ONCE]])
            if not count:
                raise _ChildError(self._how())
            left = left[count:]
        return found

    def _wait(self, pipe: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _ChildError("it took too long")

    def _how(self) -> str:
        """How the process ended."""
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1.0)
            return f"its decoder ended with signal {-code}" if code < 0 else "its decoder ended"
        return "its decoder closed its pipes"


def _python() -> str:
    """A process of Triton Server's names itself as its executable, with Python first in PATH."""
    own = Path(sys.executable or "")
    if own.name.startswith("python"):
        return str(own)
    return shutil.which("python3") or shutil.which("python") or "python3"


def _environment() -> dict[str, str]:
    """Of this process; one thread, since each takes address space."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
