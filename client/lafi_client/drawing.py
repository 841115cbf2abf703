"""Tracks which panels of a storyboard are still missing, over several streams if some break.

Does no I/O: the client reports events and broken streams, and `Drawing` answers what to request
next and which events to pass on. So the sync and the async client behave the same. Knows no gRPC
and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard, mentioned
from lafi.wire.control import Command
from lafi.wire.events import (
    Accepted,
    Event,
    Failed,
    Finished,
    Latents,
    PanelImage,
    Portrait,
    Preview,
    Progress,
    Waiting,
)
from lafi_client.errors import (
    LafiError,
    OwnerUnavailable,
    PanelFailed,
    ServerUnavailable,
    StoryboardUnknown,
)
from lafi_client.held import Held
from lafi_client.retry import RetryPolicy

PANEL_RETRIES = 4
"""How often a panel that failed on a server which answers is asked for again, at most."""


class Drawing:
    """The state of one storyboard that is being drawn.

    `only`: panels to draw (default: all). Panel numbers of arguments and results are always those
    of the whole storyboard, even if a stream draws only a part of it.
    """

    def __init__(
        self, storyboard: Storyboard, retry: RetryPolicy, only: Iterable[int] | None = None
    ) -> None:
        self._storyboard = storyboard
        self._retry = retry
        self._wanted = _checked(only, len(storyboard.panels))
        self._missing = dict.fromkeys(self._wanted)
        self._requested: tuple[int, ...] = ()
        self._id = ""
        self._attach = False
        self._answered = False
        self.held = Held()
        self._failed: dict[int, Failed] = {}  # may still succeed
        self._refused: set[int] = set()  # given up
        self._portraits: set[str] = set()
        self._accepted = False
        self._queued = False
        self._stream_finished = False
        self._attempt = 0
        self._seconds = 0.0

    def next_request(self) -> Storyboard | Command:
        """What to send now: the id of the last stream's storyboard if that stream broke."""
        if not self._attach:
            return self.next_storyboard()
        self._begin_stream()
        places = enumerate(self._requested)
        held = tuple(place for place, number in places if number not in self._missing)
        return Command(action="attach", id=self._id, panels=held)

    def next_storyboard(self) -> Storyboard:
        """The storyboard to send now: the missing panels, and the panels that they begin with."""
        self._requested = _with_sources(self._storyboard, self._missing)
        self._id = ""
        self._begin_stream()
        if len(self._requested) == len(self._storyboard.panels):
            return self._storyboard
        return _part(self._storyboard, self._requested)

    def _begin_stream(self) -> None:
        self._attach = self._answered = False
        self._failed.clear()
        self._stream_finished = False
        self._queued = False

    @property
    def queued(self) -> bool:
        """Whether the server has accepted the storyboard but not begun to draw it."""
        return self._queued

    @property
    def stream_finished(self) -> bool:
        """Whether the last event of this stream has arrived."""
        return self._stream_finished

    def receive(self, event: Event) -> Event | None:
        """Take an event of the current stream; returns the event for the caller, if any.

        Raises ServerUnavailable or LafiError when the storyboard failed as a whole.
        """
        self._queued = isinstance(event, Accepted)
        match event:
            case Accepted():
                return self._first_acceptance(event)
            case Progress(panel=None) | Waiting():
                return event
            case Progress() | Preview() | Latents():
                number = self._number(event.panel)
                if number not in self._missing:
                    return None
                return event.model_copy(update={"panel": number})
            case Portrait():
                return self._first_portrait(event)
            case PanelImage():
                return self._first_panel(event)
            case Failed():
                return self._failure(event)
            case Finished():
                self._stream_finished = self._answered = True
                self._seconds += event.seconds
                return None

    def took(self, event: Event) -> None:
        """The caller has what `receive` made of this event."""
        match event:
            case PanelImage(panel=number) | Failed(panel=int(number), retryable=False):
                self.held.add(self._id, number)

    @property
    def complete(self) -> bool:
        """Whether every panel has arrived or finally failed, so that nothing is left to request."""
        return not self._missing

    def end_stream(self) -> None:
        """Report that a stream ended without an error. Raises LafiError if panels are missing."""
        if self.complete:
            return
        if not self._stream_finished:
            raise ServerUnavailable("the stream ended before the storyboard did", retryable=True)
        if unanswered := [number for number in self._missing if number not in self._failed]:
            raise ServerUnavailable(
                f"the server finished without panels {unanswered}", retryable=True
            )
        if self._attempt < min(self._retry.retries, PANEL_RETRIES):
            raise PanelFailed(list(self._failed.values()))
        self._refused.update(self._missing)
        self._missing.clear()

    def last_events(self) -> list[Event]:
        """The events for the caller after the drawing is complete."""
        arrived = len(self._wanted) - len(self._refused)
        return [*self._failed.values(), Finished(panels=arrived, seconds=self._seconds)]

    def delay_after(self, error: LafiError) -> float:
        """Seconds to wait before the next try. Raises `error` if another try is useless.

        Once the drawing is complete, `error` is ignored.
        """
        if self.complete:
            return 0.0
        if isinstance(error, StoryboardUnknown | OwnerUnavailable):
            self._id = ""
            return 0.0  # sent again at once: the tries are counted where streams break
        lost = isinstance(error, ServerUnavailable)
        # A server that has accepted the storyboard serves it; if it says otherwise, it starts.
        again = error.retryable or (lost and self._accepted)
        if not again or self._attempt >= self._retry.retries:
            raise error
        self._attach = bool(self._id) and lost and not self._answered
        delay = self._retry.delay(self._attempt)
        self._attempt += 1
        return delay

    def _first_acceptance(self, event: Accepted) -> Accepted | None:
        self._id = event.id
        repeated, self._accepted = self._accepted, True
        return None if repeated else event

    def _first_portrait(self, event: Portrait) -> Portrait | None:
        if event.character in self._portraits:
            return None
        self._portraits.add(event.character)
        return event

    def _first_panel(self, event: PanelImage) -> PanelImage | None:
        number = self._number(event.panel)
        if number not in self._missing:
            return None
        del self._missing[number]
        self._failed.pop(number, None)
        self._attempt = 0
        return event.model_copy(update={"panel": number})

    def _failure(self, event: Failed) -> Failed | None:
        if event.panel is None:
            self._stream_finished = True
            if event.retryable:
                raise ServerUnavailable(event.error, retryable=True)
            raise LafiError(f"the server failed: {event.error}")
        number = self._number(event.panel)
        if number not in self._missing:
            return None
        failed = event.model_copy(update={"panel": number})
        if event.retryable:
            self._failed[number] = failed
            return None
        del self._missing[number]
        self._failed.pop(number, None)
        self._refused.add(number)
        return failed

    def _number(self, index: int | None) -> int:
        """The number in the whole storyboard of a panel, given its number in the stream."""
        if index is None or not 0 <= index < len(self._requested):
            raise LafiError(
                f"the server sent panel {index}, asked for were 0 to {len(self._requested) - 1}"
            )
        return self._requested[index]


def _checked(only: Iterable[int] | None, panels: int) -> tuple[int, ...]:
    if only is None:
        return tuple(range(panels))
    wanted = tuple(sorted(set(only)))
    for number in wanted:
        if not 0 <= number < panels:
            raise ValueError(f"only: got panel {number}, allowed 0 to {panels - 1}")
    return wanted


def _with_sources(storyboard: Storyboard, numbers: Iterable[int]) -> tuple[int, ...]:
    """These panels and all earlier ones that their stages begin with, in order."""
    found: set[int] = set()
    ahead = [*numbers]
    while ahead:
        number = ahead.pop()
        if number not in found:
            found.add(number)
            ahead.extend(storyboard.sources(storyboard.panels[number]))
    return tuple(sorted(found))


def _part(storyboard: Storyboard, numbers: tuple[int, ...]) -> Storyboard:
    """The storyboard reduced to these panels and the characters that they need.

    The panels get the same pixels as in the whole storyboard: each has its own seed and settings.
    """
    places = {number: place for place, number in enumerate(numbers)}
    panels = tuple(_moved(storyboard, storyboard.panels[number], places) for number in numbers)
    names = {name for panel in panels for name in _names(storyboard, panel)}
    cast = tuple(character for character in storyboard.characters if character.name in names)
    return storyboard.model_copy(update={"panels": panels, "characters": cast})


def _moved(storyboard: Storyboard, panel: Panel, places: Mapping[int, int]) -> Panel:
    """The panel, with the numbers of the panels that its stages begin with changed to new ones."""
    if not storyboard.sources(panel):
        return panel
    stages = storyboard.effective_sampling(panel).stages
    moved = Sampling(stages=tuple(_moved_stage(stage, places) for stage in stages))
    return panel.model_copy(update={"sampling": moved})


def _moved_stage(stage: SamplingStage, places: Mapping[int, int]) -> SamplingStage:
    if stage.source is None or stage.source.panel is None:
        return stage
    source = stage.source.model_copy(update={"panel": places[stage.source.panel]})
    return stage.model_copy(update={"source": source})


def _names(storyboard: Storyboard, panel: Panel) -> set[str]:
    """The panel's characters, and those that its prompts and picture prompts name."""
    own = [stage.prompt for stage in storyboard.effective_sampling(panel).stages]
    prompts = [panel.prompt, *filter(None, own)]
    shown = (given.character for given in panel.picture_prompts if given.character is not None)
    return {*panel.characters, *shown, *(name for text in prompts for name in mentioned(text))}
