"""Runs a comparison: draws what is missing, reads everything, computes the figures.

Knows the order of the steps, not their details.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.evaluation.bootstrap import Interval, Resampling, interval
from benchmarks.evaluation.choice import choose
from benchmarks.evaluation.drawing import CheckpointDrawer, pixels_of, through_vae
from benchmarks.evaluation.figures import Figures, as_json, floor_figures, method_figures
from benchmarks.evaluation.measures import Pair, Panels, diversity
from benchmarks.evaluation.methods import Method, Sweep
from benchmarks.evaluation.pairs import Group, PanelReader, Pixels
from benchmarks.evaluation.parts import Parts

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is drawn, in groups of panels that share a reference.

    named, sweep  groups for the named methods and peers, and for the methods of the sweeps
    chunk         groups of one part
    diverse       groups that the named methods draw with `seeds` seeds
    """

    named: int = 64
    sweep: int = 16
    chunk: int = 4
    diverse: int = 4
    seeds: int = 4

    def __post_init__(self) -> None:
        for name in ("named", "sweep", "chunk"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed 1 or more groups")
        if self.sweep > self.named:
            raise ValueError(f"sweep: got {self.sweep}, allowed 1 to {self.named}, those of named")
        if self.seeds < 2:
            raise ValueError(f"seeds: got {self.seeds}, allowed 2 or more")

    def groups_of(self, method: Method) -> int:
        """Groups that a method draws."""
        return self.sweep if method.family == "sweep" else self.named


@dataclass(frozen=True, slots=True)
class Outcome:
    """All results.

    figures  name of a method -> its figures over all its pairs
    common   the same over the pairs of the sweeps alone, so that points of a sweep are comparable
    panels   name of a method -> its panels
    """

    figures: Mapping[str, Figures]
    common: Mapping[str, Figures]
    floor: Figures
    copy: Figures
    panels: Mapping[str, Panels]
    seconds: float
    methods: Sequence[Method] = field(default_factory=tuple)
    sweeps: Sequence[Sweep] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The compared methods, their tasks, and the reader."""

    methods: Sequence[Method]
    sweeps: Sequence[Sweep]
    groups: Sequence[Group]
    parts: Parts
    drawer: CheckpointDrawer
    reader: PanelReader
    extent: Extent
    how: Resampling
    say: Say

    def run(self) -> Outcome:
        """Draw, read and compute. Raises ValueError if `none` or `all` is not among the methods."""
        missing = {"none", "all"} - {method.name for method in self.methods}
        if missing:
            raise ValueError(f"methods: got none named {sorted(missing)}, allowed: with none, all")
        drawn = {method.name: self._draw(method, 0) for method in self.methods}
        panels = {name: self._panels(pixels) for name, (pixels, _) in drawn.items()}
        seconds = sum(spent for _, spent in drawn.values())
        variety = self._variety({name: pixels for name, (pixels, _) in drawn.items()})
        few = self._targets(self.extent.sweep)
        floor, copied = self._floor()
        return Outcome(
            figures=self._figures(panels, variety),
            common=self._figures({name: p.first(few) for name, p in panels.items()}, {}),
            floor=floor,
            copy=copied,
            panels=panels,
            seconds=seconds,
            methods=self.methods,
            sweeps=self.sweeps,
        )

    def _draw(self, method: Method, repeat: int) -> tuple[list[Pixels], float]:
        count = self.extent.diverse if repeat else self.extent.groups_of(method)
        pixels: list[Pixels] = []
        seconds = 0.0
        for start in range(0, count, self.extent.chunk):
            groups = self.groups[start : min(start + self.extent.chunk, count)]
            part = self.parts.get(method, groups, repeat)
            pixels += part.panels
            seconds += part.seconds
            verb = f"drawn in {part.seconds:.1f} s" if part.drawn_now else "from its part"
            self.say(f"{method.name}: {start + len(groups)} of {count} groups, {verb}")
        return pixels, seconds

    def _pairs(self, count: int) -> list[Pair]:
        """Pairs of the first `count` panels, in the order in which methods draw."""
        pairs = [
            Pair(number, group.reference.shown, target.shown, pixels_of(group.reference.png))
            for number, group in enumerate(self.groups)
            for target in group.targets
        ]
        return pairs[:count]

    def _targets(self, groups: int) -> int:
        return sum(len(group.targets) for group in self.groups[:groups])

    def _panels(self, pixels: Sequence[Pixels]) -> Panels:
        stacked = np.stack(pixels)
        return Panels(self._pairs(len(pixels)), self.reader.read(stacked), stacked)

    def _figures(
        self, panels: Mapping[str, Panels], variety: Mapping[str, Interval | None]
    ) -> dict[str, Figures]:
        return {
            name: method_figures(p, panels["none"], panels["all"], self.how)
            | ({"diversity": variety[name]} if name in variety else {})
            for name, p in panels.items()
        }

    def _variety(self, first: Mapping[str, Sequence[Pixels]]) -> dict[str, Interval | None]:
        count = self._targets(self.extent.diverse)
        if not count:
            return {}
        found = {}
        for method in self.methods:
            if method.family == "sweep":
                continue
            seeds = [first[method.name][:count]]
            seeds += [self._draw(method, repeat)[0] for repeat in range(1, self.extent.seeds)]
            found[method.name] = self._diversity(seeds)
        return found

    def _diversity(self, seeds: Sequence[Sequence[Pixels]]) -> Interval | None:
        count = len(seeds[0])
        groups = np.array([pair.group for pair in self._pairs(count)], dtype=np.int64)
        stacked = np.stack([np.stack(pixels) for pixels in seeds], axis=1)
        return interval(diversity(stacked), groups, self.how)

    def _floor(self) -> tuple[Figures, Figures]:
        """Measures of real pictures of the targets, and of pasted references; through the VAE."""
        targets = [target for group in self.groups for target in group.targets]
        engines = self.drawer.engines
        pasted = through_vae(engines, [pixels_of(group.reference.png) for group in self.groups])
        repeated = [
            picture
            for group, picture in zip(self.groups, pasted, strict=True)
            for _ in group.targets
        ]
        copied = floor_figures(self._panels(repeated), self.how)
        if any(not target.truth for target in targets):
            return {}, copied
        real = through_vae(engines, [target.truth[0] for target in targets])
        floor = floor_figures(self._panels(real), self.how)
        return floor | self._floor_diversity(targets[: self._targets(self.extent.diverse)]), copied

    def _floor_diversity(self, targets: Sequence[Any]) -> Figures:
        count = min([self.extent.seeds, *(len(target.truth) for target in targets)])
        if not targets or count < 2:
            return {}
        seeds = [
            through_vae(self.drawer.engines, [target.truth[i] for target in targets])
            for i in range(count)
        ]
        return {"diversity": self._diversity(seeds)}


def as_document(outcome: Outcome, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a comparison.

    methods.<name>   figures, settings, family, and how many panels they stand on
    sweeps           for each sweep its points; their figures are over the sweeps' pairs alone
    default          the preset that the rule of `choice` picks, or null with the reason
    """
    by_name = {method.name: method for method in outcome.methods}
    return {
        **settings,
        "drawing_seconds": round(outcome.seconds, 1),
        "methods": {
            name: {
                "family": by_name[name].family,
                "panels": len(outcome.panels[name].pairs),
                "settings": by_name[name].settings(),
                **as_json(figures),
            }
            for name, figures in outcome.figures.items()
        },
        "floor": as_json(outcome.floor),
        "copy_of_the_reference": as_json(outcome.copy),
        "sweeps": {
            sweep.name: {
                value: {"method": name, **as_json(outcome.common[name])}
                for value, name in sweep.points
                if name in outcome.common
            }
            for sweep in outcome.sweeps
        },
        **choose(outcome.methods, outcome.figures).as_json(),
    }


def extent_json(extent: Extent) -> dict[str, int]:
    """The extent as JSON."""
    return asdict(extent)
