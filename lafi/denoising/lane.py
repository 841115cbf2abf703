"""Panels of one size: those in flight, those that wait, and how they fit into denoiser calls.

Knows rows and turns, calls no denoiser.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lafi.conditioning.reference import Source
from lafi.denoising.panel_state import PanelState
from lafi.denoising.turns import Turn, Turns
from lafi.sampling.noise_model import NoiseModel

MAX_BANK = 8
"""Entries of the bank that one denoiser call may read; a panel needs no more."""

LatentSize = tuple[int, ...]


class Standing(NamedTuple):
    """What a caller's panels may claim.

    priority: a higher one gets every place before a lower one. deadline: on the batcher's clock;
    who would miss it by waiting longer than one panel takes goes before others of its priority.
    """

    priority: int = 0
    deadline: float = math.inf


USUAL = Standing()
"""Of a caller that asks for nothing."""


class Ticket:
    """Identifies the panels of one caller, and has its turn in every lane where it has panels."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.turns: dict[LatentSize, Turn[PanelState]] = {}


class Member(NamedTuple):
    """A panel in flight and whose it is."""

    ticket: Ticket
    panel: PanelState


@dataclass(slots=True)
class Chunk:
    """Panels of one denoiser call, and what they read: rows of the call, or kept."""

    members: list[Member] = field(default_factory=list)
    sources: dict[Source, None] = field(default_factory=dict)
    kept: dict[Source, None] = field(default_factory=dict)
    panel_rows: int = 0

    @property
    def rows(self) -> int:
        """Rows of the call, without padding."""
        return self.panel_rows + len(self.sources)


@dataclass(frozen=True, slots=True)
class Readings:
    """What panels read at their coming step.

    keeps: whether references at a fixed level are kept.
    """

    process: NoiseModel
    keeps: bool

    def __call__(self, panel: PanelState) -> tuple[list[Source], list[Source]]:
        """References that are rows of the call, and those that are kept."""
        sources = panel.readings(self.process)
        kept = [source for source in sources if source.fixed and self.keeps]
        return [source for source in sources if source not in kept], kept


class Lane:
    """As many panels are in flight as their rows fit into one call (`max_rows`).

    Whoever waits and holds fewer places than another gets one at the next step: the other's panel
    that has come least far is paused, and goes on where it was once it is its turn again.
    """

    def __init__(self, size: LatentSize, max_rows: int, readings: Readings) -> None:
        """size: of its latents (C, h, w)."""
        self.size = size
        self.used = 0.0
        """Seconds of the denoiser's time for each party; what sizes share time by."""
        self.step_seconds = 0.0
        """Of the last step."""
        self.flying: list[Member] = []
        self._max_rows = max_rows
        self._readings = readings
        self._turns: Turns[PanelState] = Turns()
        self._tickets: dict[Turn[PanelState], Ticket] = {}

    @property
    def waiting(self) -> int:
        """Panels that have no place, those that are paused included."""
        return self._turns.waiting

    @property
    def active(self) -> int:
        """Panels that are not done."""
        return len(self.flying) + self.waiting

    @property
    def parties(self) -> int:
        """Callers that have panels here which are not done."""
        return len(self._tickets)

    @property
    def begun(self) -> Iterator[PanelState]:
        """Panels that have begun and are not done: in flight or paused."""
        yield from (panel for _, panel in self.flying)
        for turn in self._tickets:
            # Paused panels stand before those that have not begun.
            for panel in turn.waiting:
                if not panel.schedule.index:
                    break
                yield panel

    def add(self, ticket: Ticket, panels: Sequence[PanelState]) -> None:
        """Let panels wait behind those that this caller has here already."""
        if self.size in ticket.turns:
            self._turns.extend(ticket.turns[self.size], panels)
        else:
            ticket.turns[self.size] = self._turns.join(panels, ticket.standing.priority)
        self._tickets[ticket.turns[self.size]] = ticket

    def remove(self, ticket: Ticket) -> None:
        """Let a caller's panels leave, done or not."""
        turn = ticket.turns[self.size]
        self._turns.leave(turn)
        self._tickets.pop(turn, None)
        self.flying = [member for member in self.flying if member.ticket is not ticket]

    def admit(self, now: float) -> None:
        """Give places to those whose turn it is, as long as all rows fit into one call.

        Those who reuse this step count too, since they may all compute the next. now: on the
        batcher's clock.
        """
        for turn, ticket in self._tickets.items():
            if math.isfinite(ticket.standing.deadline):
                late = self._slack(ticket, turn, now) < 0
                turn.urgent_at = ticket.standing.deadline if late else math.inf
        self._fill()
        while rich := self._turns.richer([m.ticket.turns[self.size] for m in self.flying]):
            self._pause(self._tickets[rich], rich)
            self._fill()

    def leave_places(self, members: Iterable[Member]) -> None:
        """Take panels out of flight: they are done, or their call has failed."""
        for member in members:
            self.flying.remove(member)
            turn = member.ticket.turns[self.size]
            self._turns.give_back(turn)
            if not turn.held and not turn.waiting:
                self._tickets.pop(turn)

    def chunks(self, members: Sequence[Member]) -> list[Chunk]:
        """Panels in their order, at most max_rows rows each; one panel alone may have more.

        A panel is in one chunk with the references that it reads. More than one chunk is needed
        only where panels in flight come to read more references than when they joined.
        """
        chunks: list[Chunk] = []
        for member in members:
            if not chunks or not self._fits(chunks[-1], member.panel):
                chunks.append(Chunk())
            self._put(chunks[-1], member)
        return chunks

    def _slack(self, ticket: Ticket, turn: Turn[PanelState], now: float) -> float:
        """Seconds that a caller's panels here can wait and still be done, less one panel's time."""
        own = [*(m.panel for m in self.flying if m.ticket is ticket), *turn.waiting]
        left = [panel.schedule.steps - panel.schedule.index for panel in own]
        at_once = max(1, len(self.flying))
        steps = max([*left, sum(left) / at_once]) if left else 0
        longest = max((panel.schedule.steps for panel in own), default=0)
        return ticket.standing.deadline - now - (steps + longest) * self.step_seconds

    def _fill(self) -> None:
        room = Chunk()
        for member in self.flying:
            self._put(room, member)
        for turn, panel in self._turns.take(lambda panel: self._fits(room, panel)):
            member = Member(self._tickets[turn], panel)
            self._put(room, member)
            self.flying.append(member)

    def _pause(self, ticket: Ticket, turn: Turn[PanelState]) -> None:
        own = [member for member in self.flying if member.ticket is ticket]
        least = min(reversed(own), key=lambda member: member.panel.schedule.index)
        self.flying.remove(least)
        self._turns.give_back(turn, [least.panel])

    def _fits(self, chunk: Chunk, panel: PanelState) -> bool:
        if not chunk.members:
            return True
        rows, kept = self._readings(panel)
        more = panel.rows + sum(source not in chunk.sources for source in rows)
        entries = len(chunk.kept) + sum(source not in chunk.kept for source in kept)
        return chunk.rows + more <= self._max_rows and entries <= MAX_BANK

    def _put(self, chunk: Chunk, member: Member) -> None:
        rows, kept = self._readings(member.panel)
        chunk.members.append(member)
        chunk.sources.update(dict.fromkeys(rows))
        chunk.kept.update(dict.fromkeys(kept))
        chunk.panel_rows += member.panel.rows
