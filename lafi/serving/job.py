"""A storyboard in flight: its events, who gets them, and whether it is to stop."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from lafi.serving.admission import Admission, Charge
from lafi.wire.control import Answer
from lafi.wire.events import Event, PanelImage, Progress

Status = Literal["INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNAVAILABLE", "INTERNAL"]
_LOOK_SECONDS = 1.0


class Sender(Protocol):
    """Sends the answers to one request back to its client."""

    def send(self, event: Event | Answer) -> None:
        """Sends one event, or the answer to a command."""

    def refuse(self, status: Status, message: str) -> None:
        """Sends an error instead of events: the storyboard will not be drawn."""

    def finish(self) -> None:
        """Sends the final flag: nothing more follows."""

    def is_cancelled(self) -> bool:
        """True once the client no longer waits (cancelled, disconnected, past its deadline)."""


class DetachedSender:
    """Sends as long as there is a client, and never says that there is none."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._gone = False

    def send(self, event: Event | Answer) -> None:
        """As `Sender`, without errors."""
        if self._gone or self._sender.is_cancelled():
            self._gone = True
            return
        try:
            self._sender.send(event)
        except Exception:  # whatever a lost client raises, the drawing goes on
            self._gone = True

    def refuse(self, status: Status, message: str) -> None:
        """As `Sender`."""
        self._sender.refuse(status, message)

    def finish(self) -> None:
        """As `Sender`, without errors."""
        with suppress(Exception):
            self._sender.finish()

    def is_cancelled(self) -> bool:
        """Never: that is what detached means."""
        return False


class _ChoosySender(ABC):
    """Leaves out events; all else it does as the sender that it is given."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.refuse, self.finish = sender.refuse, sender.finish
        self.is_cancelled = sender.is_cancelled

    def send(self, event: Event | Answer) -> None:
        """As `Sender`."""
        if self._wants(event):
            self._sender.send(event)

    @abstractmethod
    def _wants(self, event: Event | Answer) -> bool:
        """Whether the client gets it; asked once for each."""


class SenderWithout(_ChoosySender):
    """Leaves out panels that the client holds already."""

    def __init__(self, sender: Sender, panels: Collection[int]) -> None:
        super().__init__(sender)
        self._panels = {*panels}

    def _wants(self, event: Event | Answer) -> bool:
        return not (isinstance(event, PanelImage) and event.panel in self._panels)


class PacedSender(_ChoosySender):
    """Leaves out the progress of a panel that comes too soon after the last one of that panel."""

    def __init__(self, sender: Sender, seconds: float) -> None:
        """seconds: the least time between two; clock of the machine."""
        super().__init__(sender)
        self._seconds = seconds
        self._told: dict[int | str | None, float] = {}

    def _wants(self, event: Event | Answer) -> bool:
        if not isinstance(event, Progress):
            return True
        of, now = event.character if event.panel is None else event.panel, time.monotonic()
        if now - self._told.get(of, -math.inf) < self._seconds:
            return False
        self._told[of] = now
        return True


class StopSignal:
    """Whether to stop drawing. Called at every step, it asks the others only now and then."""

    def __init__(
        self,
        closing: Callable[[], bool],
        sender: Sender,
        poll_seconds: float,
        forgotten: Callable[[], bool],
    ) -> None:
        """closing: whether the server stops. forgotten: whether the journal has it no more."""
        self.was_client = False
        self._was_server = False
        self._called_off = threading.Event()
        self._closing = closing
        self._sender = sender
        self._poll_seconds = poll_seconds
        self._forgotten = forgotten
        self._next_poll = 0.0
        self._next_look = time.monotonic() + _LOOK_SECONDS

    @property
    def called_off(self) -> bool:
        """Whether the storyboard was cancelled by its id, or its character forgotten."""
        return self._called_off.is_set()

    def call_off(self) -> None:
        """The storyboard is not wanted any more."""
        self._called_off.set()

    def __call__(self) -> bool:
        if not (self.was_client or self._was_server) and time.monotonic() >= self._next_poll:
            self.was_client = self._sender.is_cancelled()
            self._was_server = self._closing()
            self._next_poll = time.monotonic() + self._poll_seconds
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            if self._forgotten():
                self.call_off()
        return self.was_client or self._was_server or self.called_off


@dataclass(slots=True, eq=False)
class Job:
    """An admitted storyboard. events: all after the first one, which is already sent.

    owner: name of the key that sent it; "": no key.
    watches: whether it is attached to another job of the same id, which draws; then it has no
    place and no charge of its own.
    """

    id: str
    events: Iterator[Event]
    stop: StopSignal
    sender: Sender
    admission: Admission
    charge: Charge
    panels: int
    detach: bool
    watches: bool
    owner: str = ""
    began: float = field(default_factory=time.monotonic)
    accepted: bool = False
    sent: int = 0
    begun: bool = False
