"""Tracks a storyboard that this client did not send: it knows its id alone.

The counterpart of `lafi_client.drawing`; does no I/O either.
"""

from __future__ import annotations

from typing import Protocol

from lafi.board.storyboard import Storyboard
from lafi.wire.control import Command
from lafi.wire.events import Accepted, Event, Failed, Finished, PanelImage, Portrait
from lafi_client.drawing import PANEL_RETRIES
from lafi_client.errors import LafiError, PanelFailed, ServerUnavailable, StoryboardUnknown
from lafi_client.held import Held
from lafi_client.retry import RetryPolicy


class Pursuit(Protocol):
    """What a client follows over several streams; `lafi_client.drawing.Drawing` says more."""

    held: Held

    def next_request(self) -> Storyboard | Command:
        """What to send now."""

    @property
    def queued(self) -> bool:
        """Whether it is accepted and not begun."""

    @property
    def stream_finished(self) -> bool:
        """Whether the last event of this stream has arrived."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to request."""

    def receive(self, event: Event) -> Event | None:
        """Take an event; returns the event for the caller."""

    def took(self, event: Event) -> None:
        """The caller has what `receive` made of this event."""

    def end_stream(self) -> None:
        """A stream ended without an error. Raises LafiError."""

    def last_events(self) -> list[Event]:
        """The events for the caller after all."""

    def delay_after(self, error: LafiError) -> float:
        """Seconds to wait before the next try. Raises `error`."""


class Attached:
    """The state of a storyboard that is attached to. Numbers of panels are the storyboard's."""

    def __init__(self, identifier: str, retry: RetryPolicy) -> None:
        """Raises StoryboardError for an id that is none."""
        self._command = Command(action="attach", id=identifier)
        self._retry = retry
        self.held = Held()
        self.complete = False
        self.queued = False
        self.stream_finished = False
        self._arrived: set[int] = set()
        self._told: set[str] = set()
        self._failed: dict[int, Failed] = {}
        self._finished: Finished | None = None
        self._attempt = 0

    def next_request(self) -> Command:
        """As `Pursuit`: the id, and the panels that have arrived."""
        self.stream_finished = self.queued = False
        self._finished = None
        self._failed.clear()
        return self._command.model_copy(update={"panels": tuple(sorted(self._arrived))})

    def receive(self, event: Event) -> Event | None:
        """As `Pursuit`. Raises ServerUnavailable or LafiError when all of it failed."""
        self.queued = isinstance(event, Accepted)
        match event:
            case Accepted() | Portrait():
                name = event.character if isinstance(event, Portrait) else ""
                if name in self._told:
                    return None
                self._told.add(name)
            case PanelImage() if event.panel in self._arrived:
                return None
            case PanelImage():
                self._arrived.add(event.panel)
                self._attempt = 0
            case Failed(panel=None):
                self.stream_finished = True
                if event.retryable:
                    raise ServerUnavailable(event.error, retryable=True)
                raise LafiError(f"the server failed: {event.error}")
            case Failed(panel=int(number)):
                self._failed[number] = event
                return None
            case Finished():
                self.stream_finished = True
                self._finished = event
                return None
        return event

    def took(self, event: Event) -> None:
        """As `Pursuit`."""
        if isinstance(event, PanelImage):
            self.held.add(self._command.id, event.panel)

    def end_stream(self) -> None:
        """As `Pursuit`. Raises ServerUnavailable, or PanelFailed where another try may help."""
        if self._finished is None:
            raise ServerUnavailable("the stream ended before the storyboard did", retryable=True)
        again = [failed for failed in self._failed.values() if failed.retryable]
        if again and self._attempt < min(self._retry.retries, PANEL_RETRIES):
            raise PanelFailed(again)
        for number in self._failed:
            self.held.add(self._command.id, number)
        self.complete = True

    def last_events(self) -> list[Event]:
        """As `Pursuit`: panels that failed, then `finished`."""
        seconds = 0.0 if self._finished is None else self._finished.seconds
        return [*self._failed.values(), Finished(panels=len(self._arrived), seconds=seconds)]

    def delay_after(self, error: LafiError) -> float:
        """As `Pursuit`: a storyboard that is not known cannot be sent again from here."""
        lost = isinstance(error, ServerUnavailable) and bool(self._told)
        useless = isinstance(error, StoryboardUnknown) or not (error.retryable or lost)
        if useless or self._attempt >= self._retry.retries:
            raise error
        delay = self._retry.delay(self._attempt)
        self._attempt += 1
        return delay
