"""Handles requests to the served model `storyboard`, from admission to the final flag.

Each admitted storyboard has a thread, which reads, checks, journals and draws it: who brings
requests never waits for any of that. Knows storyboards, events and a `Sender`, not Triton Server:
the adapter passes a sender that responds through the server, a test one that fills a list.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from lafi.board.cost import Cost, storyboard_cost
from lafi.board.error import StoryboardError, problem
from lafi.board.storyboard import Storyboard
from lafi.drawing.studio import Studio
from lafi.serving.admission import Admission, RefusedError
from lafi.serving.answers import NotAllowedError, end, fail, is_retryable, refuse
from lafi.serving.job import DetachedSender, Job, PacedSender, Sender, StopSignal
from lafi.serving.keeper import Keeper
from lafi.store.journal import State
from lafi.wire.caller import Caller
from lafi.wire.control import QueueEntry
from lafi.wire.events import Accepted, Event, Failed, Finished, PanelImage, Progress
from lafi.wire.pods import Pod, new_identifier

_log = logging.getLogger(__name__)

Drawer = Callable[[Storyboard, Callable[[], bool]], Iterator[Event]]
CLOSING = "the server is shutting down; try again later"
SHUTTING_DOWN = f"UNAVAILABLE: {CLOSING}"
CALLED_OFF = "the storyboard was cancelled, or its character forgotten"
_SHOWN_DIGITS = 8


@dataclass(frozen=True, slots=True)
class _Arrival:
    """An admitted request that nobody has read yet; `known` and `decode` as `accept` has them.

    watches: another job draws it.
    """

    decode: Callable[[], Storyboard]
    sender: Sender
    admission: Admission
    known: str
    watches: bool
    caller: Caller | None


class StoryboardService:
    """Admits storyboards, draws them in threads, and ends every answer with the final flag.

    draw: takes a storyboard and a function that says whether to stop, and yields events. The first
    one, `accepted`, must come without any work.
    cost: of a storyboard, for its admission.
    keeper: what outlives this process; None: nothing does, and nobody can come back.
    pod: this server among those behind one address, in the ids that it gives out; None: alone.
    stop_asked: true once the server is about to stop; it then waits for storyboards in flight.
    poll_seconds: time between two checks for cancellation and for the server's stop.
    """

    def __init__(
        self,
        draw: Drawer,
        admission: Admission,
        *,
        cost: Callable[[Storyboard], Cost] = storyboard_cost,
        keeper: Keeper | None = None,
        pod: Pod | None = None,
        stop_asked: Callable[[], bool] = lambda: False,
        poll_seconds: float = 0.02,
    ) -> None:
        self._draw = draw
        self._cost = cost
        self._keeper = keeper
        self._pod = pod
        self._admission = admission
        self._watching = Admission(admission.limit)
        self._poll_seconds = poll_seconds
        self._arrivals: queue.SimpleQueue[_Arrival | None] = queue.SimpleQueue()
        self._jobs: dict[Job, None] = {}
        self._beginning: set[str] = set()
        """Ids that were accepted before and come back, until they are among the jobs."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._stop_asked = stop_asked
        # Those who watch a storyboard that another job draws have threads too.
        count = admission.limit if keeper is None else 2 * admission.limit
        self._threads = [
            threading.Thread(target=self._run, name=f"storyboard-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def accept(
        self,
        decode: Callable[[], Storyboard],
        sender: Sender,
        known: str = "",
        caller: Caller | None = None,
    ) -> None:
        """Gives a request a thread, or refuses it; returns at once. The answer goes to `sender`.

        decode: reads the storyboard from the request. If it raises StoryboardError, or `draw` does
        before its first event, the client gets INVALID_ARGUMENT; for UnknownPicturesError it gets
        NOT_FOUND.
        known: the id under which it was accepted before. While another job draws it, this one gets
        the panels without a place of its own: they are found once they are kept.
        caller: who sends it; None: the server itself, or whoever where there are no keys.
        """
        watches = bool(known) and not self._begin_again(known)
        admission = self._watching if watches else self._admission
        arrival = _Arrival(decode, sender, admission, known, watches, caller)
        try:
            self._admit(arrival.admission)
        except RefusedError as error:
            self._begun(arrival)
            end(sender, "UNAVAILABLE", str(error))
        else:
            self._arrivals.put(arrival)

    def in_flight(self, identifier: str) -> bool:
        """Whether a storyboard is being drawn, or comes back."""
        with self._lock:
            return self._is_in_flight(identifier)

    def owner(self, identifier: str) -> str | None:
        """Name of the key that sent it, "": none; None for an id that is not known."""
        with self._lock:
            found = [job.owner for job in self._jobs if job.id == identifier]
        if not found and self._keeper is not None:
            return self._keeper.owner(identifier)
        return found[0] if found else None

    def cancel(self, identifier: str) -> bool:
        """Stop a storyboard at its next step and let go what was kept for it. False: not known."""
        with self._lock:
            jobs = [job for job in self._jobs if job.id == identifier]
        for job in jobs:
            job.stop.call_off()
        kept = self._keeper is not None and self._keeper.forget(identifier)
        return kept or bool(jobs)

    def work(self, studio: Studio) -> tuple[int, int]:
        """Steps so far, and storyboards that wait for more of them: a sign of life.

        One that is still being read and checked is not among them; no step comes of it yet.
        """
        with self._lock:
            return studio.steps, sum(job.accepted and not job.watches for job in self._jobs)

    def queue(self, owner: str | None = None) -> list[QueueEntry]:
        """The storyboards in flight, in order of arrival. owner: of this key alone; None: all."""
        with self._lock:
            jobs = [job for job in self._jobs if not job.watches]
        now = time.monotonic()
        return [
            QueueEntry(
                place=place,
                id=job.id[:_SHOWN_DIGITS],
                state="drawing" if job.begun else "waiting",
                panels=job.panels,
                sent=job.sent,
                seconds=now - job.began,
                expected_seconds=job.admission.seconds_left(job.charge),
                detach=job.detach,
            )
            for place, job in enumerate(jobs, 1)
            if owner is None or job.owner == owner
        ]

    def close(self, timeout: float = 10.0) -> None:
        """Stops drawing after the current steps, fails waiting storyboards and ends the threads.

        timeout: seconds.
        """
        self._closed.set()
        for _ in self._threads:
            self._arrivals.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def closing(self) -> bool:
        """Whether nothing new is begun."""
        return self._closed.is_set() or self._stop_asked()

    def _admit(self, admission: Admission) -> None:
        if self.closing():
            raise RefusedError(CLOSING)
        admission.admit()

    def _is_in_flight(self, identifier: str) -> bool:
        drawn = any(job.id == identifier and not job.watches for job in self._jobs)
        return drawn or identifier in self._beginning

    def _begin_again(self, known: str) -> bool:
        """Take a storyboard on again, unless another arrival or job has it."""
        with self._lock:
            if self._is_in_flight(known):
                return False
            self._beginning.add(known)
            return True

    def _begun(self, arrival: _Arrival) -> None:
        """It is among the jobs, or will not be."""
        if arrival.known and not arrival.watches:
            with self._lock:
                self._beginning.discard(arrival.known)

    def _job(self, arrival: _Arrival) -> Job | None:
        """The arrival's job, once its client has heard `accepted`; None if it was refused."""
        sender = arrival.sender
        try:
            if self.closing():
                raise RefusedError(CLOSING)
            return self._begin(arrival)
        except Exception as error:
            refuse(sender, error)
        finally:
            self._begun(arrival)
        return None

    def _begin(self, arrival: _Arrival) -> Job:
        storyboard, sender = arrival.decode(), arrival.sender
        known, admission, caller = arrival.known, arrival.admission, arrival.caller
        if not known:
            _check_priority(storyboard, caller)
        owner = (self.owner(known) or "") if known else caller.name if caller else ""
        identifier = known or new_identifier(self._pod)
        watches = arrival.watches
        detach = storyboard.detach and not watches
        if detach:
            self._check_detach()
            sender = DetachedSender(sender)
        if storyboard.progress_seconds:
            sender = PacedSender(sender, storyboard.progress_seconds)
        stop = StopSignal(
            self.closing, sender, self._poll_seconds, lambda: self._forgotten(identifier)
        )
        events = self._draw(storyboard, stop)
        charge = admission.charge(
            self._cost(storyboard),
            storyboard.deadline_seconds,
            owner,
            caller.megapixel_steps if caller else None,
        )
        shape = (len(storyboard.panels), detach, watches, owner)
        job = Job(identifier, events, stop, sender, admission, charge, *shape)
        try:
            self._keep(job, storyboard, known)
            for event in islice(events, 1):
                self._send(job, event)
        except BaseException:
            self._leave(job, "open", whole=False)
            if self._keeper is not None and not known:
                self._keeper.forget(identifier)  # its client never had the id
            raise
        return job

    def _check_detach(self) -> None:
        if self._keeper is None:
            allowed = "false: this server keeps no panels (lafi serve --store)"
            raise StoryboardError([problem("detach", True, allowed)])

    def _keep(self, job: Job, storyboard: Storyboard, known: str) -> None:
        with self._lock:
            others = [other.id for other in self._jobs]
            self._jobs[job] = None
        if self._keeper is not None and not job.watches:
            if known:
                self._keeper.take_again(known, storyboard)
            else:
                self._keeper.take(job.id, storyboard, others, job.owner)

    def _leave(self, job: Job, state: State, *, whole: bool) -> None:
        """The job is over. whole: it was drawn to its end."""
        with self._lock:
            self._jobs.pop(job, None)
        job.admission.give_back(job.charge, whole=whole)
        if self._keeper is not None and not job.watches:
            self._keeper.release(job.id, state)

    def _forgotten(self, identifier: str) -> bool:
        return self._keeper is not None and not self._keeper.has(identifier)

    def _run(self) -> None:
        while (arrival := self._arrivals.get()) is not None:
            try:
                job = self._job(arrival)
                if job is not None:
                    self._serve(job)
            except Exception:
                _log.exception("a storyboard could not be answered")
            finally:
                arrival.admission.release()

    def _serve(self, job: Job) -> None:
        state: State = "open"
        try:
            if not job.stop():
                state = self._send_events(job)
            if job.stop.called_off:
                job.sender.send(Failed(panel=None, error=CALLED_OFF, retryable=False))
            elif self.closing() and state == "open" and not job.stop.was_client:
                job.sender.send(Failed(panel=None, error=SHUTTING_DOWN, retryable=True))
        finally:
            self._leave(job, state, whole=state == "finished")
            job.sender.finish()

    def _send_events(self, job: Job) -> State:
        """Draws and sends the events; what has become of the storyboard."""
        event: Event | None = None
        try:
            for event in job.events:
                self._send(job, event)
        except Exception as error:
            if job.stop.was_client or job.stop.called_off or self.closing():
                return "open"
            fail(job.sender, error)
            return "open" if is_retryable(error) else "failed"
        return "finished" if isinstance(event, Finished) else "open"

    def _send(self, job: Job, event: Event) -> None:
        match event:
            case Accepted():
                job.accepted = True
                keeps = self._keeper is not None and self._keeper.keeps_pictures
                event = event.model_copy(update={"id": job.id, "keeps_pictures": keeps})
            case Progress():
                job.begun = True
                job.admission.step(job.charge)
            case PanelImage():
                job.sent += 1
                if self._keeper is not None:
                    self._keeper.sent(job.id, event.panel, drawn=not event.kept)
        job.sender.send(event)


def _check_priority(storyboard: Storyboard, caller: Caller | None) -> None:
    if storyboard.priority > 0 and caller is not None and "priority" not in caller.rights:
        raise NotAllowedError(
            f"priority: got {storyboard.priority}, allowed: at most 0, since the key {caller.name} "
            'lacks the right "priority"'
        )
