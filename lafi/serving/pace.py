"""Holds a storyboard's answers back while its client does not read those before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

UNREAD_BYTES = 4 * 2**20
"""Bytes of answers that may be on their way to a client; a larger one goes alone."""
_LOOK_SECONDS = 0.02


class Pace:
    """For one request: bounds the bytes between the model and its client.

    Without it they would pile up in Triton Server, which takes answers as fast as they come.
    """

    def __init__(
        self, taken: Path | None, gone: Callable[[], bool], most: int = UNREAD_BYTES
    ) -> None:
        """taken: a file as long as what the front has passed on; None: nobody says.

        gone: whether nobody waits for answers any more. most: bytes on their way.
        """
        self._taken = taken
        self._gone = gone
        self._most = most
        self._sent = 0

    def wait(self, size: int) -> None:
        """Return once an answer of this size may be sent, or nobody waits for it."""
        while (unread := self._unread()) > 0 and unread + size > self._most and not self._gone():
            time.sleep(_LOOK_SECONDS)
        self._sent += size

    def _unread(self) -> int:
        if self._taken is None:
            return 0
        try:
            return self._sent - self._taken.stat().st_size
        except OSError:
            return self._sent
