"""A discrete-event simulation of clients, balancer, pods and autoscaler (simpy)."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from benchmarks.capacity.pod import Pod, Story
from benchmarks.capacity.work import Load, Times
from lafi.serving.admission import RefusedError

RETRY_SECONDS = 2.0
"""After which a client that was refused comes again."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """As the chart's values `autoscaling`, and what Kubernetes adds (`templates/scaling.yaml`)."""

    least: int = 1
    most: int = 4
    panels_per_pod: float = 20.0
    forecast_seconds: float = 60.0
    cooldown: float = 600.0
    poll: float = 15.0
    up_per_minute: int = 4

    def wanted(self, panels: float, forecast: float) -> int:
        """Pods for so many panels and seconds of work; none only where nothing is."""
        asked = max(panels / self.panels_per_pod, forecast / self.forecast_seconds)
        return min(self.most, max(self.least, math.ceil(asked - 1e-9)))


@dataclass(frozen=True, slots=True)
class Arrival:
    """A storyboard that comes. after: seconds since the beginning."""

    after: float
    resent: bool = False
    unread: int = 0


@dataclass
class Outcome:
    """What became of it. seconds: of each storyboard, in the order of arrival.

    in_system: mean storyboards between arrival and answer, from an integral over time. pods: mean
    pods that are paid for, those that start or drain included. most_pods: at one time. span:
    simulated seconds. busy: pod seconds of work. refused: times that a client was sent away.
    """

    seconds: list[float] = field(default_factory=list)
    span: float = 0.0
    in_system: float = 0.0
    pods: float = 0.0
    most_pods: int = 0
    busy: float = 0.0
    calls: int = 0
    refused: int = 0

    def quantile(self, share: float) -> float:
        """Seconds within which that share of storyboards was done; 0 if none came."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    @property
    def mean(self) -> float:
        """Seconds of a storyboard; 0 if none came."""
        return sum(self.seconds) / len(self.seconds) if self.seconds else 0.0


def arrivals(load: Load, seconds: float, seed: int) -> list[Arrival]:
    """Storyboards of a load, at random times within so many seconds (Poisson)."""
    rng = random.Random(seed)
    found: list[Arrival] = []
    now = 0.0
    while load.per_hour:
        now += rng.expovariate(load.per_hour / 3600)
        if now >= seconds:
            break
        unread = sum(rng.random() >= load.known for _ in range(load.characters))
        found.append(Arrival(now, rng.random() < load.resent, unread))
    return found


class Cluster:
    """Pods behind a balancer that sends each storyboard to the one with the fewest in flight."""

    def __init__(self, load: Load, times: Times, scaling: Scaling) -> None:
        self.env = simpy.Environment()
        self.outcome = Outcome()
        self._load, self._times, self._scaling = load, times, scaling
        self._pods: list[Pod] = []
        self._starting = 0
        self._ended: list[Pod] = []
        self._waiting = 0
        self._quiet_since = 0.0
        self._changed = 0.0
        self._inside = 0
        self._added: list[float] = []
        self._removed = -math.inf

    def run(self, coming: Sequence[Arrival], seconds: float) -> Outcome:
        """Until so many seconds have passed and all that came is done."""
        for _ in range(self._scaling.least):
            self._pods.append(self._new_pod())
        stories = [self._story(each) for each in coming]
        done = [self.env.process(self._client(story)) for story in stories]
        self.env.process(self._autoscale())
        self.env.run(self.env.timeout(seconds))
        if done:
            self.env.run(self.env.all_of(done))
        self._count()
        outcome, span = self.outcome, float(self.env.now)
        pods = [*self._pods, *self._ended]
        outcome.span = span
        outcome.in_system /= span
        outcome.pods /= span
        outcome.busy = sum(pod.busy for pod in pods)
        outcome.calls = sum(pod.calls for pod in pods)
        outcome.seconds = [each.done - each.came for each in stories if each.done is not None]
        outcome.refused = sum(each.refused for each in stories)
        return outcome

    def _story(self, arrival: Arrival) -> Story:
        return Story(self._load, arrival.after, arrival.resent, arrival.unread)

    def _new_pod(self) -> Pod:
        return Pod(self.env, self._times, self._load)

    def _client(self, story: Story) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(story.came)
        self._count()
        self._inside += 1
        self._waiting += 1
        while True:
            pod = min(self._pods, key=lambda each: each.in_flight, default=None)
            try:
                if pod is None:
                    raise RefusedError("no pod")
                finished = pod.take(story)
                break
            except RefusedError:
                story.refused += 1
                yield self.env.timeout(RETRY_SECONDS)
        self._waiting -= 1
        yield finished
        self._count()
        self._inside -= 1

    def _autoscale(self) -> Generator[simpy.Event, Any, None]:
        """As KEDA and the horizontal pod autoscaler: up at once, down one by one after a while."""
        scaling = self._scaling
        while True:
            yield self.env.timeout(scaling.poll)
            self._count()
            # Who has no pod yet waits before the balancer, which `wakeQuery` sees.
            panels = sum(pod.panels for pod in self._pods) + self._waiting * self._load.panels
            forecast = sum(pod.forecast_seconds for pod in self._pods)
            wanted = scaling.wanted(panels, forecast)
            now, there = float(self.env.now), len(self._pods) + self._starting
            if wanted >= there:
                self._quiet_since = now
            if wanted > there:
                self._added = [when for when in self._added if now - when < 60]
                for _ in range(min(wanted - there, scaling.up_per_minute - len(self._added))):
                    self._added.append(now)
                    self.env.process(self._start())
            elif wanted < there and self._may_shrink(now):
                self._shrink(now)

    def _may_shrink(self, now: float) -> bool:
        quiet = now - self._quiet_since >= self._scaling.cooldown
        return bool(self._pods) and quiet and now - self._removed >= 60

    def _shrink(self, now: float) -> None:
        """The pod with the fewest in flight drains."""
        leaving = min(self._pods, key=lambda pod: pod.in_flight)
        self._pods.remove(leaving)
        self._ended.append(leaving)
        leaving.leave()
        self._removed = now

    def _start(self) -> Generator[simpy.Event, Any, None]:
        self._count()
        self._starting += 1
        yield self.env.timeout(self._times.start)
        self._count()
        self._starting -= 1
        self._pods.append(self._new_pod())

    def _count(self) -> None:
        """Adds up what has been since the last change."""
        now = float(self.env.now)
        draining = sum(pod.ended is None for pod in self._ended)
        pods = len(self._pods) + self._starting + draining
        self.outcome.in_system += self._inside * (now - self._changed)
        self.outcome.pods += pods * (now - self._changed)
        self.outcome.most_pods = max(self.outcome.most_pods, pods)
        self._changed = now


def simulate(
    load: Load,
    times: Times,
    scaling: Scaling,
    *,
    seconds: float = 3600.0,
    seed: int = 0,
    coming: Sequence[Arrival] | None = None,
) -> Outcome:
    """One run. coming: in place of random arrivals."""
    found = arrivals(load, seconds, seed) if coming is None else coming
    return Cluster(load, times, scaling).run(found, seconds)
