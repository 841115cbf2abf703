"""How a storyboard's panels get denoised: alone, or with all others in one loop per variant.

A storyboard hands over its panels and reads their steps; it cannot tell which of the two it is.
"""

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from lafi.denoising.batcher import Batcher, BatchError, PanelStep
from lafi.denoising.lane import Standing, Ticket
from lafi.denoising.panel_state import PanelState

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
"""How often a storyboard whose panels wait for a place asks whether anybody still wants them."""
HEARTBEAT_SECONDS = 5.0
"""After how long without a step a storyboard gets a sign of life."""
STALE_SECONDS = 120.0
"""After how long without any step of its loop it gets none any more, so that clients give up."""


def no_panels() -> Sequence[PanelState]:
    """The default of `joining`."""
    return ()


class Denoising(Protocol):
    """Takes panels from noise to latents."""

    def run(
        self,
        panels: Sequence[PanelState],
        standing: Standing,
        cancelled: Callable[[], bool],
        joining: Callable[[], Sequence[PanelState]] = no_panels,
    ) -> Iterator[PanelStep | None]:
        """Every step of the panels, until the last of each, or until `cancelled()`.

        None from time to time while nothing happens, since others are denoised first.
        joining: asked whenever steps were read, the last one too, for panels that come late; they
        wait behind the others. Raises what the denoiser raised, and KeyError for a panel of a
        variant that has no batcher.
        """


class OwnDenoising:
    """Loops of the caller's own, one for each variant, in the caller's thread."""

    def __init__(self, batchers: Mapping[str, Batcher]) -> None:
        """batchers: by the name of the variant whose engines they call."""
        self._batchers = batchers

    def run(
        self,
        panels: Sequence[PanelState],
        standing: Standing,
        cancelled: Callable[[], bool],
        joining: Callable[[], Sequence[PanelState]] = no_panels,
    ) -> Iterator[PanelStep]:
        """As `Denoising`; standing has no effect, since there are no others."""
        tickets: dict[str, Ticket] = {}

        def bring(more: Sequence[PanelState]) -> None:
            for variant, group in by_variant(more).items():
                batcher = self._batchers[variant]
                if variant in tickets:
                    batcher.extend(tickets[variant], group)
                else:
                    tickets[variant] = batcher.add(group, standing)

        bring(panels)
        try:
            while active := [v for v in tickets if self._batchers[v].active]:
                if cancelled():
                    return
                for variant in active:
                    yield from self._batchers[variant].step()
                    bring(joining())
        except BatchError as error:
            raise error.__cause__ or error from None
        finally:
            for variant, ticket in tickets.items():
                self._batchers[variant].remove(ticket)


Steps = queue.SimpleQueue[PanelStep | Exception]


class _Seat(NamedTuple):
    """A storyboard's place in one loop; the loop's thread alone sets and reads the ticket."""

    steps: Steps
    ticket: list[Ticket]


class _Loop:
    """One batcher, stepped in a thread of its own for all storyboards that have a seat."""

    def __init__(self, name: str, batcher: Batcher) -> None:
        self._batcher = batcher
        self._changed = threading.Condition()
        self._changes: list[Callable[[], None]] = []
        self.closed = False
        self._readers: dict[Ticket, Steps] = {}
        self._stepped = time.monotonic()
        title = f"denoising {name}".strip()
        self._thread = threading.Thread(target=self._run, name=title, daemon=True)
        self._thread.start()

    @property
    def silence(self) -> float:
        """Seconds since the last step, or since it had nothing to do."""
        return time.monotonic() - self._stepped

    def join(self, panels: Sequence[PanelState], standing: Standing, steps: Steps) -> _Seat:
        """Let panels join together; their steps go to `steps`, and so does an error."""
        seat = _Seat(steps, [])

        def join() -> None:
            seat.ticket.append(self._batcher.add(panels, standing))
            self._readers[seat.ticket[0]] = steps

        self._change(join, seat)
        return seat

    def extend(self, seat: _Seat, panels: Sequence[PanelState]) -> None:
        """Let more panels join, behind those that wait already."""

        def extend() -> None:
            # Not after a failed call of the others: the reader is gone.
            if seat.ticket and seat.ticket[0] in self._readers:
                self._batcher.extend(seat.ticket[0], panels)

        self._change(extend, seat)

    def leave(self, seat: _Seat) -> None:
        """Let the panels leave; they are in no call that begins later."""

        def leave() -> None:
            for ticket in seat.ticket:
                self._readers.pop(ticket, None)
                self._batcher.remove(ticket)

        self._change(leave, seat)

    def close(self, timeout: float) -> None:
        """End the thread after the step that it is in (seconds)."""
        with self._changed:
            self.closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _change(self, change: Callable[[], None], seat: _Seat) -> None:
        """Have the loop's thread, which alone touches the batcher, do something between steps.

        If it raises, the storyboard of that seat fails and no other.
        """

        def safely() -> None:
            try:
                change()
            except Exception as error:
                _log.exception("a storyboard's panels could not join or leave")
                self._drop(seat.ticket)
                seat.steps.put(error)

        with self._changed:
            self._changes.append(safely)
            self._changed.notify()

    def _run(self) -> None:
        while self._wait_for_work():
            try:
                for step in self._batcher.step():
                    self._readers[step.ticket].put(step)
                self._stepped = time.monotonic()
            except BatchError as error:
                cause = error.__cause__
                self._fail(error.tickets, cause if isinstance(cause, Exception) else error)
            except Exception as error:  # a fault of ours, not of one call: no panel can be trusted
                _log.exception("a denoising step failed outside the denoiser")
                self._fail(tuple(self._readers), error)
                if self._batcher.active:  # what raised could not be dropped: do not spin
                    time.sleep(POLL_SECONDS)

    def _wait_for_work(self) -> bool:
        """Do the changes that were asked for; False once there will be no work any more."""
        with self._changed:
            while True:
                for change in self._changes:
                    change()
                self._changes.clear()
                if self.closed or self._batcher.active:
                    return not self.closed
                self._changed.wait()
                self._stepped = time.monotonic()

    def _fail(self, tickets: Sequence[Ticket], error: Exception) -> None:
        """A failed call ends the storyboards that were in it, and no other."""
        for ticket in tickets:
            reader = self._readers.get(ticket)
            self._drop([ticket])
            if reader is not None:
                reader.put(error)

    def _drop(self, tickets: Sequence[Ticket]) -> None:
        """Let go of storyboards whose state may be broken."""
        for ticket in tickets:
            self._readers.pop(ticket, None)
            try:
                self._batcher.remove(ticket)
            except Exception:
                _log.exception("a storyboard's panels could not be dropped")


class SharedDenoising:
    """One loop for each variant, in a thread of its own, for all storyboards in flight.

    Panels of one call join together. Those of a storyboard that was cancelled, or whose
    generator is closed, are in no call that begins later.
    """

    def __init__(
        self,
        batchers: Mapping[str, Batcher],
        heartbeat: float = HEARTBEAT_SECONDS,
        stale: float = STALE_SECONDS,
    ) -> None:
        """batchers: by the name of the variant whose engines they call.

        heartbeat: seconds of silence after which a storyboard that waits gets a None. stale:
        seconds without a step of its loops after which it gets none any more.
        """
        self._loops = {variant: _Loop(variant, batcher) for variant, batcher in batchers.items()}
        self._heartbeat = heartbeat
        self._stale = stale

    def run(
        self,
        panels: Sequence[PanelState],
        standing: Standing,
        cancelled: Callable[[], bool],
        joining: Callable[[], Sequence[PanelState]] = no_panels,
    ) -> Iterator[PanelStep | None]:
        """As `Denoising`, from any thread. Raises RuntimeError once the loops are closed."""
        steps: Steps = queue.SimpleQueue()
        seats: dict[str, _Seat] = {}
        left = self._bring(panels, standing, steps, seats)
        heard = time.monotonic()
        try:
            while left and not cancelled():
                try:
                    step = steps.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    self._check_open()
                    if time.monotonic() - heard >= self._heartbeat and self._is_alive(seats):
                        heard = time.monotonic()
                        yield None
                    continue
                if isinstance(step, Exception):
                    raise step
                left -= step.done
                heard = time.monotonic()
                yield step
                left += self._bring(joining(), standing, steps, seats)
        finally:
            for variant, seat in seats.items():
                self._loops[variant].leave(seat)

    def close(self, timeout: float = 10.0) -> None:
        """End each loop after the step that it is in (seconds); what is in flight is not drawn."""
        for loop in self._loops.values():
            loop.close(timeout)

    def _bring(
        self,
        panels: Sequence[PanelState],
        standing: Standing,
        steps: Steps,
        seats: dict[str, _Seat],
    ) -> int:
        """Panels take their seats in the loops of their variants; gives how many there are."""
        for variant, group in by_variant(panels).items():
            if variant in seats:
                self._loops[variant].extend(seats[variant], group)
            else:
                seats[variant] = self._loops[variant].join(group, standing, steps)
        return len(panels)

    def _is_alive(self, seats: Iterable[str]) -> bool:
        """Whether a loop in which the storyboard has a seat has lately taken a step."""
        return any(self._loops[variant].silence < self._stale for variant in seats)

    def _check_open(self) -> None:
        if any(loop.closed for loop in self._loops.values()):
            raise RuntimeError("the denoising loop was closed")


def by_variant(panels: Sequence[PanelState]) -> dict[str, list[PanelState]]:
    """Panels by the variant that draws them, in their order."""
    groups: dict[str, list[PanelState]] = defaultdict(list)
    for panel in panels:
        groups[panel.variant].append(panel)
    return groups
