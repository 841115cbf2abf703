"""Step-level batching: at every step, one denoiser call over the rows of all panels in flight.

Panels of all storyboards join and leave between any two steps, each at its own step of its own
schedule. Knows rows and schedules, not storyboards; runs no thread and makes no server call.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lafi.conditioning.reference import Source
from lafi.denoising.denoiser_batch import build_batch
from lafi.denoising.kept_references import KeptReferences
from lafi.denoising.panel_state import PanelState
from lafi.denoising.turns import Turn, Turns
from lafi.model.info import ModelInfo
from lafi.ports.engines import Denoiser
from lafi.sampling.noise_model import NoiseModel

MIN_MAX_ROWS = 6
"""The most rows that one panel can need: two of its own and four references."""
MAX_BANK = 8
"""Entries of the bank that one denoiser call may read; a panel needs four at most."""

Ticket = Turn[PanelState]
"""What `Batcher.add` gives: it identifies the panels of one caller."""


@dataclass(frozen=True, slots=True)
class PanelStep:
    """Step `step` of `steps` of a panel is done; after the last its latents are finished."""

    ticket: Ticket
    panel: PanelState
    step: int
    steps: int

    @property
    def done(self) -> bool:
        """Whether this was the panel's last step; its latents do not change any more."""
        return self.step == self.steps


class BatchError(RuntimeError):
    """A denoiser call failed; `tickets` had panels in it, and `__cause__` says why."""

    def __init__(self, tickets: Sequence[Ticket]) -> None:
        super().__init__("the denoiser failed")
        self.tickets = tuple(tickets)


@dataclass(slots=True)
class BatchCounts:
    """What the denoiser was given since the start; seconds are of the clock on the wall."""

    calls: int = 0
    panel_rows: int = 0
    reference_rows: int = 0
    bank_reads: int = 0
    """References that a call read from the bank instead of as rows."""
    padding_rows: int = 0
    panel_steps: int = 0
    reused_steps: int = 0
    """Of the panels' steps: those taken without the denoiser."""
    engine_seconds: float = 0.0
    step_seconds: float = 0.0
    """Of whole steps, the engine's part included."""


@dataclass(slots=True)
class _Chunk:
    """Panels of one denoiser call, and what they read: rows of the call, or kept."""

    members: list[tuple[Ticket, PanelState]] = field(default_factory=list)
    sources: dict[Source, None] = field(default_factory=dict)
    kept: dict[Source, None] = field(default_factory=dict)
    panel_rows: int = 0

    @property
    def rows(self) -> int:
        return self.panel_rows + len(self.sources)


class Batcher:
    """The panels in flight and those that wait. `step` moves each in flight by one step.

    As many panels are in flight as their rows fit into one denoiser call. A place that becomes
    free goes to the storyboard that was served longest ago (`turns.py`), so a storyboard's first
    panel waits for at most one panel of each storyboard before it, never for all of them.
    A panel that reuses a step keeps its place but has no row in that step's calls, and what
    only such panels would read is not read; where all reuse, there is no call.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        process: NoiseModel,
        info: ModelInfo,
        max_rows: int = 16,
        row_counts: Sequence[int] = (),
        kept: KeptReferences | None = None,
    ) -> None:
        """info: of the denoiser. max_rows: rows of one denoiser call.

        kept: where references at a fixed level come from; None: they are rows as all others are.
        row_counts: numbers of rows that the denoiser is good at; a call is filled up to the next
        one with rows that no other row reads. None: it takes any number as it is.
        """
        if max_rows < MIN_MAX_ROWS:
            raise ValueError(f"max_rows: got {max_rows}, allowed {MIN_MAX_ROWS} or more")
        self._denoiser = denoiser
        self._process = process
        self._info = info
        self._max_rows = max_rows
        self._row_counts = sorted(row_counts)
        self._kept = kept
        self._turns: Turns[PanelState] = Turns()
        self._flying: list[tuple[Ticket, PanelState]] = []
        self.counts = BatchCounts()

    @property
    def active(self) -> int:
        """Panels that are not done, those that wait included."""
        return len(self._flying) + self._turns.waiting

    @property
    def waiting(self) -> int:
        """Panels that have no place yet."""
        return self._turns.waiting

    def add(self, panels: Sequence[PanelState], priority: int = 0) -> Ticket:
        """Let a caller's panels join, in their order, from the coming step on.

        priority: a higher one gets every free place before a lower one.
        """
        return self._turns.join(panels, priority)

    def extend(self, ticket: Ticket, panels: Sequence[PanelState]) -> None:
        """Let a caller that has not left bring more panels, behind those of it that wait."""
        self._turns.extend(ticket, panels)

    def remove(self, ticket: Ticket) -> None:
        """Let a caller's panels leave, done or not; they are in no later call."""
        self._turns.leave(ticket)
        self._flying = [member for member in self._flying if member[0] is not ticket]

    def step(self) -> Iterator[PanelStep]:
        """One step of every panel in flight; reports each as soon as it is taken.

        To be read to its end before the next call, and before panels join or leave.
        Raises BatchError where a call fails; then the panels of that call are in flight no more.
        """
        self._admit()
        reusing = [member for member in self._flying if member[1].reuses]
        computing = [member for member in self._flying if not member[1].reuses]
        yield from self._reuse(reusing)
        for chunk in self._chunks(computing):
            yield from self._compute(chunk)
        self._release()

    def _reuse(self, members: Sequence[tuple[Ticket, PanelState]]) -> Iterator[PanelStep]:
        for ticket, panel in members:
            began = time.perf_counter()
            panel.advance_by_reuse()
            self.counts.panel_steps += not panel.schedule.midway
            self.counts.reused_steps += not panel.schedule.midway
            self.counts.step_seconds += time.perf_counter() - began
            yield from _taken(ticket, panel)

    def _compute(self, chunk: _Chunk) -> Iterator[PanelStep]:
        began = time.perf_counter()
        try:
            self._run(chunk)
        except Exception as error:
            tickets = dict.fromkeys(ticket for ticket, _ in chunk.members)
            self._flying = [member for member in self._flying if member not in chunk.members]
            raise BatchError(tuple(tickets)) from error
        self.counts.step_seconds += time.perf_counter() - began
        self._flying = [member for member in self._flying if not member[1].done]
        for ticket, panel in chunk.members:
            yield from _taken(ticket, panel)

    def _release(self) -> None:
        """Drop kept references that no panel in flight reads."""
        if self._kept is not None:
            flying = (panel for _, panel in self._flying)
            self._kept.release({source for panel in flying for source in self._readings(panel)[1]})

    def _run(self, chunk: _Chunk) -> None:
        """One denoiser call, after which every panel of the chunk has gone on."""
        panels = [panel for _, panel in chunk.members]
        padding = self._padding(chunk.rows)
        kept = tuple(chunk.kept)
        batch = build_batch(
            panels,
            tuple(chunk.sources),
            self._process,
            self._info,
            kept=kept,
            bank=self._kept.bank(kept) if self._kept is not None else None,
            padding=padding,
        )
        began = time.perf_counter()
        prediction = self._denoiser(batch)
        self._count(chunk, padding, time.perf_counter() - began)
        _advance(panels, prediction)
        self.counts.panel_steps += sum(not panel.schedule.midway for panel in panels)

    def _padding(self, rows: int) -> int:
        """Rows to add, so that the denoiser gets a number that it is good at."""
        return next((count - rows for count in self._row_counts if count >= rows), 0)

    def _count(self, chunk: _Chunk, padding: int, seconds: float) -> None:
        counts = self.counts
        counts.calls += 1
        counts.panel_rows += chunk.panel_rows
        counts.reference_rows += len(chunk.sources)
        counts.bank_reads += len(chunk.kept)
        counts.padding_rows += padding
        counts.engine_seconds += seconds

    def _admit(self) -> None:
        """Give places to those whose turn it is, as long as all rows fit into one call.

        Those who reuse this step count too, since they may all compute the next.
        """
        room = _Chunk()
        for ticket, panel in self._flying:
            self._put(room, ticket, panel)
        for ticket, panel in self._turns.take(lambda panel: self._fits(room, panel)):
            self._put(room, ticket, panel)
            self._flying.append((ticket, panel))

    def _chunks(self, members: Sequence[tuple[Ticket, PanelState]]) -> list[_Chunk]:
        """Panels in their order, those of one latent size together, at most max_rows rows each.

        A panel is in one chunk with the references that it reads. More than one chunk of a size
        is needed only where panels in flight come to read more references than when they joined.
        """
        chunks: list[_Chunk] = []
        latest: dict[tuple[int, ...], _Chunk] = {}
        for ticket, panel in members:
            size = tuple(panel.latents.shape)
            if size not in latest or not self._fits(latest[size], panel):
                latest[size] = _Chunk()
                chunks.append(latest[size])
            self._put(latest[size], ticket, panel)
        return chunks

    def _fits(self, chunk: _Chunk, panel: PanelState) -> bool:
        if not chunk.members:
            return True
        rows, kept = self._readings(panel)
        more = panel.rows + sum(source not in chunk.sources for source in rows)
        entries = len(chunk.kept) + sum(source not in chunk.kept for source in kept)
        return chunk.rows + more <= self._max_rows and entries <= MAX_BANK

    def _put(self, chunk: _Chunk, ticket: Ticket, panel: PanelState) -> None:
        rows, kept = self._readings(panel)
        chunk.members.append((ticket, panel))
        chunk.sources.update(dict.fromkeys(rows))
        chunk.kept.update(dict.fromkeys(kept))
        chunk.panel_rows += panel.rows

    def _readings(self, panel: PanelState) -> tuple[list[Source], list[Source]]:
        """What the panel reads at its coming step: as rows of the call, and kept."""
        sources = panel.readings(self._process)
        kept = [source for source in sources if source.fixed and self._kept is not None]
        return [source for source in sources if source not in kept], kept


def _taken(ticket: Ticket, panel: PanelState) -> Iterator[PanelStep]:
    """The step that a panel has taken; none where it takes one more call."""
    if not panel.schedule.midway:
        yield PanelStep(ticket, panel, panel.schedule.index, panel.schedule.steps)


def _advance(panels: Sequence[PanelState], prediction: Tensor) -> None:
    row = 0
    for panel in panels:
        rows = panel.rows
        panel.advance(prediction[row : row + rows])
        row += rows
