"""One pod of the simulation: the server's own turns, admission and forecast on a pretended clock.

A denoiser call moves every panel that has a place by one step. Panels are finished (VAE, PNG,
store) one after the other beside the calls, by other processes, as in the server. Panels get places
in the turns of `lafi.denoising.turns`; storyboards are taken on or refused by
`lafi.serving.admission`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from benchmarks.capacity.work import Load, Times
from lafi.board.cost import Cost
from lafi.denoising.turns import Turn, Turns
from lafi.serving.admission import Admission, Charge, RefusedError
from lafi.serving.forecast import Forecast

MAX_STORYBOARDS = 16
"""As the parameter `max_storyboards`."""


@dataclass(eq=False, slots=True)
class Story:
    """A storyboard on its way. came, done: seconds. unread: its references to read anew."""

    load: Load
    came: float
    resent: bool = False
    unread: int = 0
    done: float | None = None
    refused: int = 0
    left: int = 0
    charge: Charge | None = None
    drawn: simpy.Event | None = None

    @property
    def cost(self) -> Cost:
        """As the server counts it."""
        each = sum(steps * share for steps, share in self.load.stages) * self.load.megapixels
        panels = self.load.panels
        return Cost(panels * each, panels * self.load.steps, self.load.steps)


@dataclass(eq=False, slots=True)
class Drawn:
    """A panel on its way. areas: of the steps that are left, in megapixels."""

    story: Story
    areas: list[float]


@dataclass(eq=False)
class Pod:
    """Takes storyboards on, draws, and is idle while there is nothing to do."""

    env: simpy.Environment
    times: Times
    load: Load
    busy: float = 0.0
    calls: int = 0
    leaving: bool = False
    ended: float | None = None
    _came: list[Story] = field(default_factory=list)
    _flying: list[tuple[Turn[Drawn], Drawn]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._turns: Turns[Drawn] = Turns()
        self._wake = self.env.event()
        self._finisher = simpy.Resource(self.env, capacity=1)
        self._unfinished = 0
        full = self.times.places * self.load.megapixels
        self._forecast = Forecast(self._seconds, full, lambda: float(self.env.now))
        self._admission = Admission(MAX_STORYBOARDS, None, self._forecast)
        self.began = float(self.env.now)
        self.env.process(self._draw())

    @property
    def in_flight(self) -> int:
        """Storyboards."""
        return self._admission.in_flight

    @property
    def panels(self) -> int:
        """In flight and waiting, as the metric `lafi_panels`."""
        return len(self._flying) + self._turns.waiting

    @property
    def forecast_seconds(self) -> float:
        """As the metric of that name."""
        return self._admission.forecast_seconds

    def take(self, story: Story) -> simpy.Event:
        """Take a storyboard on; what happens once it is drawn. Raises RefusedError."""
        if self.leaving:
            raise RefusedError("the server is shutting down")
        self._admission.admit()
        story.charge = self._admission.charge(story.cost)
        self._came.append(story)
        self._look()
        story.drawn = self.env.event()
        return story.drawn

    def leave(self) -> None:
        """Take nothing more, and end once all is drawn."""
        self.leaving = True
        self._look()

    def _look(self) -> None:
        if not self._wake.triggered:
            self._wake.succeed()

    def _seconds(self, megapixels: float) -> float:
        return self.times.call_seconds(1, megapixels)

    def _draw(self) -> Generator[simpy.Event, Any, None]:
        while True:
            while self._came:
                yield from self._begin(self._came.pop(0))
            if self.panels:
                yield from self._step()
            elif self.leaving and not self._unfinished:
                self.ended = float(self.env.now)
                return
            elif not self._came:
                self._wake = self.env.event()
                yield self._wake

    def _work(self, seconds: float) -> simpy.Event:
        self.busy += seconds
        return self.env.timeout(seconds)

    def _begin(self, story: Story) -> Generator[simpy.Event, Any, None]:
        if story.resent:
            yield self._work(self.times.resent)
            self._end(story)
            return
        yield self._work(self.times.storyboard + story.unread * self.times.character)
        load = story.load
        areas = [
            load.megapixels * share for steps, share in reversed(load.stages) for _ in range(steps)
        ]
        story.left = load.panels
        self._turns.join([Drawn(story, list(areas)) for _ in range(load.panels)])

    def _step(self) -> Generator[simpy.Event, Any, None]:
        places = self.times.places
        # One by one: whether another fits is asked anew before each.
        for taken in self._turns.take(lambda _: len(self._flying) < places):
            self._flying.append(taken)
        area = sum(panel.areas[-1] for _, panel in self._flying)
        yield self._work(self.times.call_seconds(1, area))
        self.calls += 1
        done = []
        for each in self._flying:
            panel = each[1]
            panel.areas.pop()
            if panel.story.charge is not None:
                self._admission.step(panel.story.charge)
            if not panel.areas:
                done.append(each)
        for turn, panel in done:
            self._flying.remove((turn, panel))
            self._turns.give_back(turn)
            self._unfinished += 1
            self.env.process(self._finish(turn, panel.story))

    def _finish(self, turn: Turn[Drawn], story: Story) -> Generator[simpy.Event, Any, None]:
        with self._finisher.request() as free:
            yield free
            yield self._work(self.times.panel * story.load.megapixels)
        self._unfinished -= 1
        story.left -= 1
        if not story.left:
            self._turns.leave(turn)
            self._end(story)
        self._look()

    def _end(self, story: Story) -> None:
        story.done = float(self.env.now)
        if story.charge is not None:
            self._admission.give_back(story.charge, whole=not story.resent)
        self._admission.release()
        if story.drawn is not None:
            story.drawn.succeed()
