"""What the served model `storyboard` does with a request, from admission to the final flag.

A thread tells each storyboard's story, and first come are first served; beyond the threads
requests wait in a queue. Knows storyboards, events and a `Sender`, not Triton Server: the adapter
brings a sender that talks to it, a test brings a list.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.serving.admission import Admission, RefusedError
from lafi.wire.events import Event, Failed, Finished

_log = logging.getLogger(__name__)

Status = Literal["INVALID_ARGUMENT", "UNAVAILABLE", "INTERNAL"]
Drawer = Callable[[Storyboard, Callable[[], bool]], Iterator[Event]]
SHUTTING_DOWN = "UNAVAILABLE: the server is shutting down; try again later"


class Sender(Protocol):
    """The way back to whoever sent one storyboard."""

    def send(self, event: Event) -> None:
        """Sends one event."""

    def refuse(self, status: Status, message: str) -> None:
        """Sends an error instead of events: the storyboard will not be drawn."""

    def finish(self) -> None:
        """Says that nothing more will come."""

    def is_cancelled(self) -> bool:
        """True once nobody waits for the answer (cancelled, disconnected, past the deadline)."""


class ServedModelError(RuntimeError):
    """A served model answered with an error. retryable: whether asking again may help."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"the model {model} failed: {message}")
        self.retryable = not message.startswith("INVALID_ARGUMENT")


@dataclass(frozen=True, slots=True)
class _Job:
    """A storyboard that was admitted: its events from the second on."""

    events: Iterator[Event]
    stop: _StopSignal
    sender: Sender


class StoryboardService:
    """Admits storyboards, draws them in threads, and ends every one with the final flag.

    draw: called with a storyboard and a function that says whether to stop, yields its events; the
    first, `accepted`, without any work, so that it is sent before the storyboard's turn comes.
    stop_asked: true once the server is about to stop, which then waits for what is in flight.
    threads: how many storyboards are drawn at the same time.
    poll_seconds: how long the answers "not cancelled" and "not about to stop" are believed.
    """

    def __init__(
        self,
        draw: Drawer,
        admission: Admission,
        *,
        stop_asked: Callable[[], bool] = lambda: False,
        threads: int = 1,
        poll_seconds: float = 0.02,
    ) -> None:
        self._draw = draw
        self._admission = admission
        self._poll_seconds = poll_seconds
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._stop_asked = stop_asked
        self._threads = [
            threading.Thread(target=self._run, name=f"storyboard-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def accept(self, decode: Callable[[], Storyboard], sender: Sender) -> None:
        """Takes a request in and returns; the answer comes through `sender`.

        decode: reads the storyboard of the request. A StoryboardError of it, or of `draw` before
        the first event, becomes INVALID_ARGUMENT.
        """
        try:
            self._admit()
        except RefusedError as error:
            _end(sender, "UNAVAILABLE", str(error))
            return
        try:
            job = self._begin(decode(), sender)
        except StoryboardError as error:
            self._admission.release()
            _end(sender, "INVALID_ARGUMENT", str(error))
        except Exception as error:
            self._admission.release()
            _log.exception("a storyboard could not be begun")
            _end(sender, "INTERNAL", f"the storyboard could not be begun: {_describe(error)}")
        else:
            self._waiting.put(job)

    def close(self, timeout: float = 10.0) -> None:
        """Stops the drawing between two steps, fails what waits, ends the threads (seconds)."""
        self._closed.set()
        for _ in self._threads:
            self._waiting.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _closing(self) -> bool:
        return self._closed.is_set() or self._stop_asked()

    def _admit(self) -> None:
        if self._closing():
            raise RefusedError("the server is shutting down; try again later")
        self._admission.admit()

    def _begin(self, storyboard: Storyboard, sender: Sender) -> _Job:
        stop = _StopSignal(self._closing, sender, self._poll_seconds)
        events = self._draw(storyboard, stop)
        for accepted in islice(events, 1):
            sender.send(accepted)
        return _Job(events, stop, sender)

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            try:
                self._serve(job)
            except Exception:
                _log.exception("a storyboard could not be answered")
            finally:
                self._admission.release()

    def _serve(self, job: _Job) -> None:
        try:
            finished = not job.stop() and self._send_events(job)
            if self._closing() and not finished:
                job.sender.send(Failed(panel=None, error=SHUTTING_DOWN, retryable=True))
        finally:
            job.sender.finish()

    def _send_events(self, job: _Job) -> bool:
        """Draws and sends; True once nothing is left to be said."""
        event: Event | None = None
        try:
            for event in job.events:
                job.sender.send(event)
        except Exception as error:
            if job.stop.was_client:
                return True
            if self._closing():
                return False
            _fail(job.sender, error)
        return isinstance(event, Finished)


class _StopSignal:
    """Whether to stop drawing. Asked at every step, it asks the server only every so often."""

    def __init__(self, closing: Callable[[], bool], sender: Sender, poll_seconds: float) -> None:
        self.was_client = False
        self._was_server = False
        self._closing = closing
        self._sender = sender
        self._poll_seconds = poll_seconds
        self._next_poll = 0.0

    def __call__(self) -> bool:
        if not (self.was_client or self._was_server) and time.monotonic() >= self._next_poll:
            self.was_client = self._sender.is_cancelled()
            self._was_server = self._closing()
            self._next_poll = time.monotonic() + self._poll_seconds
        return self.was_client or self._was_server


def _end(sender: Sender, status: Status, message: str) -> None:
    """Refuses and finishes; a client that is gone must not take down the thread that takes in."""
    try:
        sender.refuse(status, message)
        sender.finish()
    except Exception:
        _log.exception("a client could not be told: %s", message)


def _fail(sender: Sender, error: Exception) -> None:
    passing = _is_passing(error)
    _log.error("a storyboard failed: %s", _describe(error), exc_info=None if passing else error)
    sender.send(Failed(panel=None, error=_describe(error), retryable=passing))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _is_passing(error: Exception) -> bool:
    """True for failures that another try may not meet: memory, and what carries `retryable`."""
    return isinstance(error, MemoryError) or bool(getattr(error, "retryable", False))
