"""Tells the supervisor, through a small file, that the model `storyboard` is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

BEAT_SECONDS = 0.5


class Heartbeat:
    """Writes "STEPS WORK" again and again, in its own thread: a reader sees whole lines only.

    STEPS rises with every denoising step of every panel; WORK is the storyboards in flight.
    """

    def __init__(
        self, path: Path | None, read: Callable[[], tuple[int, int]], every: float = BEAT_SECONDS
    ) -> None:
        """path: None for a server that nobody watches. read: steps and work. every: seconds."""
        self._path = path
        self._read = read
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        if path is not None:
            self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._path is not None:
            self._thread.join()

    def _run(self) -> None:
        assert self._path is not None
        written = self._path.with_suffix(".new")
        while not self._stop.wait(self._every):
            steps, work = self._read()
            try:
                written.write_text(f"{steps} {work}\n")
                written.replace(self._path)
            except OSError:  # the run is over, and its folder gone
                return
