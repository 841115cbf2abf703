"""Which panels the caller holds and the server may let go. Does no I/O."""

from __future__ import annotations

import time

from lafi.wire.control import Command
from lafi_client.patience import Clock

ACKNOWLEDGE_SECONDS = 1.0
"""How often panels are acknowledged at most, so that quick ones share a call."""


class Held:
    """Panels that were taken and not acknowledged yet."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._panels: dict[str, set[int]] = {}
        self._next = clock() + ACKNOWLEDGE_SECONDS

    def add(self, identifier: str, panel: int) -> None:
        """The caller has a panel. identifier: of the storyboard; "": of an older server."""
        if identifier:
            self._panels.setdefault(identifier, set()).add(panel)

    def due(self, *, last: bool = False) -> list[Command]:
        """What to tell the server now. last: whatever is left."""
        now = self._clock()
        if not self._panels or (now < self._next and not last):
            return []
        self._next = now + ACKNOWLEDGE_SECONDS
        panels, self._panels = self._panels, {}
        return [
            Command(action="acknowledge", id=each, panels=tuple(sorted(numbers)))
            for each, numbers in panels.items()
        ]

    def not_told(self, command: Command) -> None:
        """The server could not be told, and will be next time."""
        self._panels.setdefault(command.id, set()).update(command.panels)
