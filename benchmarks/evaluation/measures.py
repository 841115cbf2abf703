"""The measures: how much a panel copies from the reference, and how well it follows its prompt.

Knows readings and pixels, not methods. Every measure is a `Statistic`, so that a difference
between two methods is resampled over the same panels.

identity              share of identity attributes that are the reference's, of those that can be
                      seen both in the reference and in what was asked for
identity_exact        panels on which all of them are
attribute.<name>      the same for one attribute
action_accuracy       panels that show the requested action
scene_accuracy        panels that show the requested background and time
joint_error_degrees   mean over the joints of the turn between the drawn angle and the one of the
                      requested action's central pose. The action allows a range around that
                      pose, so that real pictures of it are not at 0 either: see the floor
pose_weight           weight of the reference's pose in the drawn pose (`regression`)
target_weight         weight of the requested action's central pose in it
nearer_to_reference   panels whose joints are nearer to the reference's than to the requested
                      action's central ones, over the pairs whose actions differ
scene_leakage         panels that show the reference's background, over the pairs in which another
                      one was asked for
time_leakage          the same for the time of day
copying               correlation of the pixels with the reference's, minus that with its mirror
                      image
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.bootstrap import Array, Statistic, mean
from benchmarks.evaluation.pairs import Pixels, Shown
from benchmarks.evaluation.regression import pose_weight, turned


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference and a requested panel; `group`: number of the reference, `png`: its file."""

    group: int
    reference: Shown
    target: Shown
    reference_pixels: Pixels


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels that a method drew for pairs, and their readings.

    pixels  RGB uint8 (P, H, W, 3)
    """

    pairs: Sequence[Pair]
    readings: Sequence[Shown]
    pixels: Pixels

    def first(self, count: int) -> "Panels":
        """The panels of the first `count` pairs."""
        return Panels(self.pairs[:count], self.readings[:count], self.pixels[:count])

    @property
    def groups(self) -> NDArray[np.int64]:
        return np.array([pair.group for pair in self.pairs], dtype=np.int64)


def statistics(panels: Panels) -> dict[str, Statistic]:
    """Every measure by its name; measures of joints only if the reader returns angles.

    Raises ValueError if there is no panel.
    """
    if not panels.pairs:
        raise ValueError("panels: got none, allowed: at least one")
    found = {**_identity(panels), **_obedience(panels), "copying": mean(_copying(panels))}
    return found | (_pose(panels) if panels.readings[0].angles else {})


def diversity(pixels: NDArray[np.uint8]) -> Statistic:
    """Mean absolute difference of pixels between the seeds of a prompt, as a share of 255.

    pixels: (P, seeds, H, W, 3), two seeds or more.
    """
    count = pixels.shape[1]
    if count < 2:
        raise ValueError(f"seeds: got {count}, allowed 2 or more")
    values = np.zeros(len(pixels))
    for i in range(count):
        for j in range(i):
            gap = np.abs(pixels[:, i].astype(np.int16) - pixels[:, j].astype(np.int16))
            values += gap.mean(axis=(1, 2, 3)) / 255.0
    return mean(values / (count * (count - 1) / 2))


def _identity(panels: Panels) -> dict[str, Statistic]:
    names = list(dict.fromkeys(name for p in panels.pairs for name in p.reference.identity))
    counted = np.array(
        [
            [n in p.reference.identity and n in p.target.identity for n in names]
            for p in panels.pairs
        ]
    )
    hits = np.array(
        [
            [reading.identity.get(name) == pair.reference.identity.get(name) for name in names]
            for pair, reading in zip(panels.pairs, panels.readings, strict=True)
        ],
        dtype=float,
    )
    share = (hits * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    exact = np.where(counted, hits, 1.0).min(axis=1)
    known = counted.any(axis=1)
    by_name = {f"attribute.{n}": mean(hits[:, i], counted[:, i]) for i, n in enumerate(names)}
    return {"identity": mean(share, known), "identity_exact": mean(exact, known), **by_name}


def _obedience(panels: Panels) -> dict[str, Statistic]:
    def share(hit: Callable[[Pair, Shown], bool]) -> Array:
        pairs = zip(panels.pairs, panels.readings, strict=True)
        return np.array([hit(pair, reading) for pair, reading in pairs], dtype=float)

    def counts(field: str) -> NDArray[np.bool_]:
        return np.array(
            [getattr(p.reference, field) != getattr(p.target, field) for p in panels.pairs]
        )

    return {
        "action_accuracy": mean(share(lambda p, r: r.action == p.target.action)),
        "scene_accuracy": mean(
            share(
                lambda p, r: (r.background, r.time) == (p.target.background, p.target.time),
            )
        ),
        "scene_leakage": mean(
            share(lambda p, r: r.background == p.reference.background), counts("background")
        ),
        "time_leakage": mean(share(lambda p, r: r.time == p.reference.time), counts("time")),
    }


def _pose(panels: Panels) -> dict[str, Statistic]:
    drawn = np.array([reading.angles for reading in panels.readings])
    target = np.array([pair.target.angles for pair in panels.pairs])
    reference = np.array([pair.reference.angles for pair in panels.pairs])
    to_target = np.abs(turned(drawn, target)).mean(axis=1)
    to_reference = np.abs(turned(drawn, reference)).mean(axis=1)
    differ = np.array([pair.reference.action != pair.target.action for pair in panels.pairs])
    return {
        "joint_error_degrees": mean(to_target),
        "nearer_to_reference": mean((to_reference < to_target).astype(float), differ),
        "pose_weight": pose_weight(drawn, target, reference, of="reference"),
        "target_weight": pose_weight(drawn, target, reference, of="target"),
    }


def _copying(panels: Panels) -> Array:
    return np.array(
        [
            _correlation(drawn, pair.reference_pixels)
            - _correlation(drawn, pair.reference_pixels[:, ::-1])
            for drawn, pair in zip(panels.pixels, panels.pairs, strict=True)
        ]
    )


def _correlation(a: Pixels, b: Pixels) -> float:
    """Pearson's, over pixels and channels; 0 for a picture of one colour."""
    x, y = a.astype(float).ravel(), b.astype(float).ravel()
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / size) if size > 0 else 0.0
