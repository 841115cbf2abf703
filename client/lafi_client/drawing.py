"""What one storyboard still lacks, across all the streams it takes to get it.

Sans-IO: told about events and broken streams, it says what to ask for next and what to pass
on, so that the sync and the async client behave alike. Knows neither gRPC nor a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard, mentioned
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
from lafi_client.errors import LafiError, PanelFailed, ServerUnavailable
from lafi_client.retry import RetryPolicy


class Drawing:
    """One storyboard on its way.

    `only` names the panels to draw (default: all). Panel numbers passed in and out are always
    those of the whole storyboard, whatever part of it a stream is asked for.
    """

    def __init__(
        self, storyboard: Storyboard, retry: RetryPolicy, only: Iterable[int] | None = None
    ) -> None:
        self._storyboard = storyboard
        self._retry = retry
        self._wanted = _checked(only, len(storyboard.panels))
        self._missing = dict.fromkeys(self._wanted)
        self._asked: tuple[int, ...] = ()
        self._failed: dict[int, Failed] = {}  # may still succeed
        self._refused: set[int] = set()  # given up
        self._portraits: set[str] = set()
        self._accepted = False
        self._queued = False
        self._stream_finished = False
        self._attempt = 0
        self._seconds = 0.0

    def next_storyboard(self) -> Storyboard:
        """The storyboard to send now: the panels that have not arrived, and those they read."""
        self._asked = _with_sources(self._storyboard, self._missing)
        self._failed.clear()
        self._stream_finished = False
        self._queued = False
        if len(self._asked) == len(self._storyboard.panels):
            return self._storyboard
        return _part(self._storyboard, self._asked)

    @property
    def queued(self) -> bool:
        """Whether the server has let the storyboard in and not begun to draw it."""
        return self._queued

    @property
    def stream_finished(self) -> bool:
        """Whether the server has said all it will say on this stream."""
        return self._stream_finished

    def receive(self, event: Event) -> Event | None:
        """Take an event of the current stream; give what the caller should see, if anything.

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
                self._stream_finished = True
                self._seconds += event.seconds
                return None

    @property
    def complete(self) -> bool:
        """Whether every panel has arrived or is given up, so that nothing is left to ask for."""
        return not self._missing

    def end_stream(self) -> None:
        """Take note that a stream ended well. Raises LafiError if panels are still to be had."""
        if self.complete:
            return
        if not self._stream_finished:
            raise ServerUnavailable("the stream ended before the storyboard did", retryable=True)
        if unanswered := [number for number in self._missing if number not in self._failed]:
            raise ServerUnavailable(
                f"the server finished without panels {unanswered}", retryable=True
            )
        if self._attempt < self._retry.retries:
            raise PanelFailed(list(self._failed.values()))
        self._refused.update(self._missing)
        self._missing.clear()

    def last_events(self) -> list[Event]:
        """What is left to tell once the drawing is complete."""
        arrived = len(self._wanted) - len(self._refused)
        return [*self._failed.values(), Finished(panels=arrived, seconds=self._seconds)]

    def delay_after(self, error: LafiError) -> float:
        """Seconds to wait before asking again. Raises `error` if that cannot help any more.

        No error matters once the drawing is complete.
        """
        if self.complete:
            return 0.0
        if not error.retryable or self._attempt >= self._retry.retries:
            raise error
        delay = self._retry.delay(self._attempt)
        self._attempt += 1
        return delay

    def _first_acceptance(self, event: Accepted) -> Accepted | None:
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

    def _number(self, asked: int | None) -> int:
        """The panel's number in the whole storyboard for its number in the stream."""
        if asked is None or not 0 <= asked < len(self._asked):
            raise LafiError(
                f"the server sent panel {asked}, asked for were 0 to {len(self._asked) - 1}"
            )
        return self._asked[asked]


def _checked(only: Iterable[int] | None, panels: int) -> tuple[int, ...]:
    if only is None:
        return tuple(range(panels))
    wanted = tuple(sorted(set(only)))
    for number in wanted:
        if not 0 <= number < panels:
            raise ValueError(f"only: got panel {number}, allowed 0 to {panels - 1}")
    return wanted


def _with_sources(storyboard: Storyboard, numbers: Iterable[int]) -> tuple[int, ...]:
    """These panels and the earlier ones that their stages begin with, in order."""
    found: set[int] = set()
    ahead = [*numbers]
    while ahead:
        number = ahead.pop()
        if number not in found:
            found.add(number)
            ahead.extend(_sources(storyboard, storyboard.panels[number]))
    return tuple(sorted(found))


def _sources(storyboard: Storyboard, panel: Panel) -> list[int]:
    sources = [stage.source for stage in storyboard.effective_sampling(panel).stages]
    return [source.panel for source in sources if source and source.panel is not None]


def _part(storyboard: Storyboard, numbers: tuple[int, ...]) -> Storyboard:
    """The storyboard with these panels and only the characters that they need.

    A panel keeps its pixels: its seed and settings are its own since the storyboard was made.
    """
    places = {number: place for place, number in enumerate(numbers)}
    panels = tuple(_moved(storyboard, storyboard.panels[number], places) for number in numbers)
    names = {name for panel in panels for name in _names(storyboard, panel)}
    cast = tuple(character for character in storyboard.characters if character.name in names)
    return storyboard.model_copy(update={"panels": panels, "characters": cast})


def _moved(storyboard: Storyboard, panel: Panel, places: Mapping[int, int]) -> Panel:
    """The panel with the new numbers of those that its stages begin with."""
    if not _sources(storyboard, panel):
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
    """Characters of the panel, and those whom its prompts name."""
    own = [stage.prompt for stage in storyboard.effective_sampling(panel).stages]
    prompts = [panel.prompt, *filter(None, own)]
    return {*panel.characters, *(name for prompt in prompts for name in mentioned(prompt))}
