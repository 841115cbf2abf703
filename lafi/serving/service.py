"""Handles requests to the served model `storyboard`, from admission to the final flag.

Each storyboard is drawn by one thread, in the order of arrival; while all threads are busy,
requests wait in a queue. Knows storyboards, events and a `Sender`, not Triton Server: the adapter
passes a sender that responds through the server, a test passes one that fills a list.
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

from lafi.board.cost import Cost, storyboard_cost
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.serving.admission import Admission, Charge, RefusedError
from lafi.serving.failure import log_failure, without_paths
from lafi.wire.events import Event, Failed, Finished, Progress

_log = logging.getLogger(__name__)

Status = Literal["INVALID_ARGUMENT", "UNAVAILABLE", "INTERNAL"]
Drawer = Callable[[Storyboard, Callable[[], bool]], Iterator[Event]]
SHUTTING_DOWN = "UNAVAILABLE: the server is shutting down; try again later"


class Sender(Protocol):
    """Sends the answers to one request back to its client."""

    def send(self, event: Event) -> None:
        """Sends one event."""

    def refuse(self, status: Status, message: str) -> None:
        """Sends an error instead of events: the storyboard will not be drawn."""

    def finish(self) -> None:
        """Sends the final flag: nothing more follows."""

    def is_cancelled(self) -> bool:
        """True once the client no longer waits (cancelled, disconnected, past its deadline)."""


class ServedModelError(RuntimeError):
    """A served model answered with an error. retryable: whether another try may succeed."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"the model {model} failed: {message}")
        self.retryable = not message.startswith("INVALID_ARGUMENT")


@dataclass(frozen=True, slots=True)
class _Job:
    """An admitted storyboard. events: all after the first one, which is already sent."""

    events: Iterator[Event]
    stop: _StopSignal
    sender: Sender
    charge: Charge


class StoryboardService:
    """Admits storyboards, draws them in threads, and ends every answer with the final flag.

    draw: takes a storyboard and a function that says whether to stop, and yields events. The first
    one, `accepted`, must come without any work: it is sent before a thread is free.
    cost: of a storyboard, for its admission.
    stop_asked: true once the server is about to stop; it then waits for storyboards in flight.
    threads: how many storyboards are drawn at the same time.
    poll_seconds: time between two checks for cancellation and for the server's stop.
    """

    def __init__(
        self,
        draw: Drawer,
        admission: Admission,
        *,
        cost: Callable[[Storyboard], Cost] = storyboard_cost,
        stop_asked: Callable[[], bool] = lambda: False,
        threads: int = 1,
        poll_seconds: float = 0.02,
    ) -> None:
        self._draw = draw
        self._cost = cost
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
        """Accepts or refuses a request and returns at once; the answer goes to `sender`.

        decode: reads the storyboard from the request. If it raises StoryboardError, or `draw` does
        before its first event, the client gets INVALID_ARGUMENT.
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
        except RefusedError as error:
            self._admission.release()
            _end(sender, "UNAVAILABLE", str(error))
        except Exception as error:
            self._admission.release()
            _end(sender, "INTERNAL", log_failure(_log, error))
        else:
            self._waiting.put(job)

    def close(self, timeout: float = 10.0) -> None:
        """Stops drawing after the current steps, fails waiting storyboards and ends the threads.

        timeout: seconds.
        """
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
        charge = self._admission.charge(self._cost(storyboard), storyboard.deadline_seconds)
        try:
            for accepted in islice(events, 1):
                sender.send(accepted)
        except BaseException:
            self._admission.give_back(charge, whole=False)
            raise
        return _Job(events, stop, sender, charge)

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            try:
                self._serve(job)
            except Exception:
                _log.exception("a storyboard could not be answered")
            finally:
                self._admission.release()

    def _serve(self, job: _Job) -> None:
        finished = False
        try:
            finished = not job.stop() and self._send_events(job)
            if self._closing() and not finished:
                job.sender.send(Failed(panel=None, error=SHUTTING_DOWN, retryable=True))
        finally:
            self._admission.give_back(job.charge, whole=finished and not job.stop.was_client)
            job.sender.finish()

    def _send_events(self, job: _Job) -> bool:
        """Draws and sends the events. True if the last one was sent, or the client is gone."""
        event: Event | None = None
        try:
            for event in job.events:
                if isinstance(event, Progress):
                    self._admission.step(job.charge)
                job.sender.send(event)
        except Exception as error:
            if job.stop.was_client:
                return True
            if self._closing():
                return False
            _fail(job.sender, error)
        return isinstance(event, Finished)


class _StopSignal:
    """Whether to stop drawing. Called at every step, it polls the server only now and then."""

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
    """Refuses a request; never raises, since a lost client must not end the caller's thread."""
    try:
        sender.refuse(status, message)
        sender.finish()
    except Exception:
        _log.exception("a client could not be told: %s", message)


def _fail(sender: Sender, error: Exception) -> None:
    """Fails a storyboard; what a served model said is passed on, all else is for the log only."""
    text = f"INTERNAL: {log_failure(_log, error)}"
    if isinstance(error, ServedModelError | MemoryError):
        text = without_paths(f"{type(error).__name__}: {error}" if str(error) else "MemoryError")
    sender.send(Failed(panel=None, error=text, retryable=_is_retryable(error)))


def _is_retryable(error: Exception) -> bool:
    """True if another try may succeed: out of memory, or the error's own `retryable` is true."""
    return isinstance(error, MemoryError) or bool(getattr(error, "retryable", False))
