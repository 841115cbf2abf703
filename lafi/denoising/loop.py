"""How a storyboard's panels get denoised: alone, or with all others in one loop.

A storyboard hands over its panels and reads their steps; it cannot tell which of the two it is.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from lafi.denoising.batcher import Batcher, BatchError, PanelStep, Ticket
from lafi.denoising.panel_state import PanelState

POLL_SECONDS = 0.05
"""How often a storyboard whose panels wait for a place asks whether anybody still wants them."""
HEARTBEAT_SECONDS = 5.0
"""How long it says nothing about panels that wait."""


def nobody() -> Sequence[PanelState]:
    """The default of `joining`."""
    return ()


class Denoising(Protocol):
    """Takes panels from noise to latents."""

    def run(
        self,
        panels: Sequence[PanelState],
        priority: int,
        cancelled: Callable[[], bool],
        joining: Callable[[], Sequence[PanelState]] = nobody,
    ) -> Iterator[PanelStep | None]:
        """Every step of the panels, until the last of each, or until `cancelled()`.

        None from time to time while nothing happens, since others are denoised first.
        joining: asked whenever steps were read, the last one too, for panels that come late; they
        wait behind the others. Raises what the denoiser raised.
        """


class OwnDenoising:
    """A loop of the caller's own, in the caller's thread."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    def run(
        self,
        panels: Sequence[PanelState],
        priority: int,
        cancelled: Callable[[], bool],
        joining: Callable[[], Sequence[PanelState]] = nobody,
    ) -> Iterator[PanelStep]:
        """As `Denoising`; priority means nothing where nobody else is."""
        ticket = self._batcher.add(panels, priority)
        try:
            while self._batcher.active and not cancelled():
                yield from self._batcher.step()
                self._batcher.extend(ticket, joining())
        except BatchError as error:
            raise error.__cause__ or error from None
        finally:
            self._batcher.remove(ticket)


class SharedDenoising:
    """One loop, in a thread of its own, for all storyboards in flight.

    Panels of one call join together. Those of a storyboard that was cancelled, or whose
    generator is closed, are in no call that begins later.
    """

    def __init__(self, batcher: Batcher, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        """heartbeat: seconds of silence after which a storyboard that waits gets a None."""
        self._batcher = batcher
        self._heartbeat = heartbeat
        self._changed = threading.Condition()
        self._changes: list[Callable[[], None]] = []
        self._closed = False
        self._readers: dict[Ticket, queue.SimpleQueue[PanelStep | Exception]] = {}
        self._thread = threading.Thread(target=self._loop, name="denoising", daemon=True)
        self._thread.start()

    def run(
        self,
        panels: Sequence[PanelState],
        priority: int,
        cancelled: Callable[[], bool],
        joining: Callable[[], Sequence[PanelState]] = nobody,
    ) -> Iterator[PanelStep | None]:
        """As `Denoising`, from any thread. Raises RuntimeError once the loop is closed."""
        steps: queue.SimpleQueue[PanelStep | Exception] = queue.SimpleQueue()
        tickets: list[Ticket] = []

        def join() -> None:
            tickets.append(self._batcher.add(panels, priority))
            self._readers[tickets[0]] = steps

        def join_late(late: Sequence[PanelState]) -> None:
            # Not after a call with the others failed: nobody reads the steps any more.
            if tickets[0] in self._readers:
                self._batcher.extend(tickets[0], late)

        def leave() -> None:
            self._readers.pop(tickets[0], None)
            self._batcher.remove(tickets[0])

        left = len(panels)
        heard = time.monotonic()
        self._change(join)
        try:
            while left and not cancelled():
                try:
                    step = steps.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    self._check_open()
                    if time.monotonic() - heard >= self._heartbeat:
                        heard = time.monotonic()
                        yield None
                    continue
                if isinstance(step, Exception):
                    raise step
                left -= step.done
                heard = time.monotonic()
                yield step
                if late := joining():
                    left += len(late)
                    self._change(partial(join_late, late))
        finally:
            self._change(leave)

    def close(self, timeout: float = 10.0) -> None:
        """End the loop after the step that it is in (seconds); what is in flight is not drawn."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the denoising loop was closed")

    def _change(self, change: Callable[[], None]) -> None:
        """Have the loop's thread, which alone touches the batcher, do something between steps."""
        with self._changed:
            self._changes.append(change)
            self._changed.notify()

    def _loop(self) -> None:
        while self._wait_for_work():
            try:
                for step in self._batcher.step():
                    self._readers[step.ticket].put(step)
            except BatchError as error:
                self._fail(error)

    def _wait_for_work(self) -> bool:
        """Do the changes that were asked for; False once there will be no work any more."""
        with self._changed:
            while True:
                for change in self._changes:
                    change()
                self._changes.clear()
                if self._closed or self._batcher.active:
                    return not self._closed
                self._changed.wait()

    def _fail(self, error: BatchError) -> None:
        """A failed call ends the storyboards that were in it, and no other."""
        for ticket in error.tickets:
            self._batcher.remove(ticket)
            cause = error.__cause__
            self._readers.pop(ticket).put(cause if isinstance(cause, Exception) else error)
