"""Step-level batching: at every step, one denoiser call over the rows of all panels in flight.

Panels of all storyboards join and leave between any two steps, each at its own step of its own
schedule. Knows rows and schedules, not storyboards; runs no thread and makes no server call.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from lafi.board.limits import OWN_SIDE
from lafi.denoising.controlled_rows import control_rows, with_residuals
from lafi.denoising.denoiser_batch import build_batch
from lafi.denoising.kept_references import KeptReferences
from lafi.denoising.lane import USUAL, Chunk, Lane, LatentSize, Member, Readings, Standing, Ticket
from lafi.denoising.panel_state import PanelState
from lafi.denoising.step_times import StepTimes
from lafi.model.info import ModelInfo
from lafi.ports.control import ControlNetwork
from lafi.ports.engines import Denoiser
from lafi.sampling.noise_model import NoiseModel

MIN_MAX_ROWS = 6
"""What one panel may need: two rows of its own and the references of four characters.

One with further references that are not kept gets a larger call for itself.
"""


@dataclass(frozen=True, slots=True)
class PanelStep:
    """Step `step` of `steps` of a panel is done; after the last its latents are finished.

    following  steps of the same caller that the same denoiser call took and that come next
    """

    ticket: Ticket
    panel: PanelState
    step: int
    steps: int
    following: int = 0

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
    control_rows: int = 0
    """Rows of control networks, which run before the denoiser."""
    padding_rows: int = 0
    panel_steps: int = 0
    reused_steps: int = 0
    """Of the panels' steps: those taken without the denoiser."""
    engine_seconds: float = 0.0
    """Of the denoiser and of control networks."""
    step_seconds: float = 0.0
    """Of whole steps, the engine's part included."""


class Batcher:
    """The panels in flight and those that wait. `step` moves those in flight of one size by a step.

    Panels of one size are a lane (`lane.py`): its places are shared by the storyboards that wait
    (`turns.py`). Lanes share the denoiser's time: the next step is of the lane whose storyboards
    had least of it, so that small pictures go on between two calls of large ones.
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
        controls: Mapping[str, ControlNetwork] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """info: of the denoiser. max_rows: rows of one denoiser call.

        kept: where references at a fixed level come from; None: they are rows as all others are.
        controls: the control networks that panels name; None: none.
        row_counts: numbers of rows that the denoiser is good at; a call is filled up to the next
        one with rows that no other row reads. None: it takes any number as it is.
        clock: seconds, by which lanes share the denoiser.
        """
        if max_rows < MIN_MAX_ROWS:
            raise ValueError(f"max_rows: got {max_rows}, allowed {MIN_MAX_ROWS} or more")
        self._denoiser = denoiser
        self._process = process
        self._info = info
        self._max_rows = max_rows
        self._row_counts = sorted(row_counts)
        self._kept = kept
        self._controls = controls or {}
        self._clock = clock
        self._lanes: dict[LatentSize, Lane] = {}
        self._used = 0.0
        self.counts = BatchCounts()
        self.times = StepTimes()

    @property
    def full_call(self) -> float:
        """Megapixels of panels in a full call at the model's own size, if all are guided."""
        own = (self._info.own_side or OWN_SIDE) ** 2 / 1e6
        return max(1, self._max_rows // 2) * own

    @property
    def active(self) -> int:
        """Panels that are not done, those that wait included."""
        return sum(lane.active for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        """Panels that have no place, those that are paused included."""
        return sum(lane.waiting for lane in self._lanes.values())

    def add(self, panels: Sequence[PanelState], standing: Standing = USUAL) -> Ticket:
        """Let a caller's panels join, in their order, from the coming step on."""
        ticket = Ticket(standing)
        self.extend(ticket, panels)
        return ticket

    def extend(self, ticket: Ticket, panels: Sequence[PanelState]) -> None:
        """Let a caller that has not left bring more panels, behind those of it that wait."""
        sizes: dict[LatentSize, list[PanelState]] = {}
        for panel in panels:
            sizes.setdefault(tuple(panel.latents.shape), []).append(panel)
        for size, group in sizes.items():
            self._lane(size).add(ticket, group)

    def remove(self, ticket: Ticket) -> None:
        """Let a caller's panels leave, done or not; they are in no later call."""
        for size in ticket.turns.keys() & self._lanes.keys():
            self._lanes[size].remove(ticket)
            self._close_if_empty(self._lanes[size])

    def step(self) -> Iterator[PanelStep]:
        """One step of every panel in flight of one size; reports each as soon as it is taken.

        To be read to its end before the next call, and before panels join or leave.
        Raises BatchError where a call fails; then the panels of that call are in flight no more.
        """
        lane = self._next_lane()
        if lane is None:
            return
        began = self._clock()
        lane.admit(began)
        reusing = [member for member in lane.flying if member.panel.reuses]
        computing = [member for member in lane.flying if not member.panel.reuses]
        try:
            yield from self._reuse(reusing)
            for chunk in lane.chunks(computing):
                yield from self._compute(lane, chunk)
        finally:
            lane.step_seconds = self._clock() - began
            lane.used += lane.step_seconds / max(1, lane.parties)
            self._close_if_empty(lane)
        self._release()

    def _lane(self, size: LatentSize) -> Lane:
        """The lane of a size; a new one has had as much time as the one that was served last."""
        if size not in self._lanes:
            lane = Lane(size, self._rows_at(size), Readings(self._process, self._kept is not None))
            lane.used = self._used
            self._lanes[size] = lane
        return self._lanes[size]

    def _rows_at(self, size: LatentSize) -> int:
        """Rows of a call: fewer of pictures that are larger than the model's own.

        So a call of them takes about as long as a full one of its own size, if not a single row
        takes longer.
        """
        own = (self._info.own_side // self._info.vae_scale) ** 2
        return self._max_rows * own // max(own, math.prod(size[-2:])) if own else self._max_rows

    def _next_lane(self) -> Lane | None:
        """The lane whose callers had least time each (stride scheduling); of equals the smallest.

        Waldspurger and Weihl, Stride Scheduling, 1995.
        """
        lane = min(
            self._lanes.values(),
            key=lambda lane: (lane.used, math.prod(lane.size)),
            default=None,
        )
        if lane is not None:
            self._used = lane.used
        return lane

    def _close_if_empty(self, lane: Lane) -> None:
        if not lane.active:
            self._lanes.pop(lane.size, None)

    def _reuse(self, members: Sequence[Member]) -> Iterator[PanelStep]:
        for member in members:
            began, panel = time.perf_counter(), member.panel
            panel.advance_by_reuse()
            self.counts.panel_steps += not panel.schedule.midway
            self.counts.reused_steps += not panel.schedule.midway
            self.counts.step_seconds += time.perf_counter() - began
            yield from _taken([member])

    def _compute(self, lane: Lane, chunk: Chunk) -> Iterator[PanelStep]:
        began = time.perf_counter()
        try:
            self._run(chunk)
        except Exception as error:
            tickets = dict.fromkeys(ticket for ticket, _ in chunk.members)
            lane.leave_places(chunk.members)
            raise BatchError(tuple(tickets)) from error
        self.counts.step_seconds += time.perf_counter() - began
        lane.leave_places([member for member in chunk.members if member.panel.done])
        yield from _taken(chunk.members)

    def _release(self) -> None:
        """Drop kept references that no panel that has begun reads."""
        if self._kept is not None:
            begun = (panel for lane in self._lanes.values() for panel in lane.begun)
            self._kept.release(
                {
                    source
                    for panel in begun
                    for source in panel.readings(self._process)
                    if source.fixed
                }
            )

    def _run(self, chunk: Chunk) -> None:
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
        steered = with_residuals(batch, panels, self._controls, self._info)
        prediction = self._denoiser(steered)
        seconds = time.perf_counter() - began
        self._count(chunk, padding, seconds)
        cells = sum(math.prod(panel.latents.shape[-2:]) for panel in panels)
        self.times.add(cells * self._info.vae_scale**2 / 1e6, seconds)
        _advance(panels, prediction)
        self.counts.panel_steps += sum(not panel.schedule.midway for panel in panels)

    def _padding(self, rows: int) -> int:
        """Rows to add, so that the denoiser gets a number that it is good at."""
        return next((count - rows for count in self._row_counts if count >= rows), 0)

    def _count(self, chunk: Chunk, padding: int, seconds: float) -> None:
        counts = self.counts
        counts.calls += 1
        counts.panel_rows += chunk.panel_rows
        counts.reference_rows += len(chunk.sources)
        counts.bank_reads += len(chunk.kept)
        counts.control_rows += control_rows([panel for _, panel in chunk.members])
        counts.padding_rows += padding
        counts.engine_seconds += seconds


def _taken(members: Sequence[Member]) -> Iterator[PanelStep]:
    """The steps that one call took; none of a panel whose step takes one more call."""
    stepped = [member for member in members if not member.panel.schedule.midway]
    left = Counter(ticket for ticket, _ in stepped)
    for ticket, panel in stepped:
        left[ticket] -= 1
        schedule = panel.schedule
        yield PanelStep(ticket, panel, schedule.index, schedule.steps, left[ticket])


def _advance(panels: Sequence[PanelState], prediction: Tensor) -> None:
    row = 0
    for panel in panels:
        rows = panel.rows
        panel.advance(prediction[row : row + rows])
        row += rows
