"""Which pictures the server has, so that they are named instead of sent again.

Does no I/O: the client reports what was accepted and which names the server did not know.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from lafi.board.checks import pictures_of
from lafi.board.storyboard import Storyboard
from lafi.wire.control import Command
from lafi.wire.events import Accepted, Event
from lafi.wire.picture_names import NAMED_BYTES, picture_name

MAX_NAMES: Final = 1024


class SentPictures:
    """The names of pictures that one server has taken; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[bytes, None] = {}

    def name(self, data: bytes) -> bytes | None:
        """What stands for a picture's file; None for one that must be sent."""
        if len(data) < NAMED_BYTES:
            return None
        name = picture_name(data)
        with self._lock:
            return name if name in self._names else None

    def answered(self, asked: Storyboard | Command, event: Event) -> None:
        """The server has answered: if it keeps pictures, it has those of this storyboard."""
        if not (isinstance(asked, Storyboard) and isinstance(event, Accepted)):
            return
        if not event.keeps_pictures:
            return
        large = (p.data for _, p in pictures_of(asked) if len(p.data) >= NAMED_BYTES)
        names = {picture_name(data): None for data in large}
        with self._lock:
            self._names |= names
            while len(self._names) > MAX_NAMES:
                del self._names[next(iter(self._names))]

    def forget(self, names: Iterable[bytes]) -> bool:
        """The server has these no more; whether any of them would have been named again."""
        with self._lock:
            known = [name for name in names if name in self._names]
            for name in known:
                del self._names[name]
        return bool(known)
