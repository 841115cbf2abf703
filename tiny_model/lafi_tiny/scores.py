"""What the readings of pictures say about consistency and about following the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lafi_tiny.attributes import IDENTITY_CHOICES, Identity, Scene, count_matches
from lafi_tiny.reader import Reading


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a panel was asked to show."""

    identity: Identity
    action: str
    scene: Scene


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares in [0, 1] over a set of panels.

    identity    mean share of the eight identity attributes that match
    attributes  the same for each attribute
    action      panels whose action is the wanted one
    background, time, scene    the same for the background, the time of day, and both
    """

    panels: int
    identity: float
    attributes: dict[str, float]
    action: float
    background: float
    time: float
    scene: float


def identity_match(a: Identity, b: Identity) -> float:
    """Share of the eight identity attributes that agree."""
    return count_matches(a, b) / len(IDENTITY_CHOICES)


def score(readings: Sequence[Reading], wanted: Sequence[Wanted]) -> Scores:
    """Compare readings with what was asked for, panel by panel."""
    pairs = list(zip(readings, wanted, strict=True))
    if not pairs:
        raise ValueError("panels: got none, allowed: at least one")

    def share(hits: list[bool]) -> float:
        return float(np.mean(hits))

    return Scores(
        panels=len(pairs),
        identity=float(np.mean([identity_match(r.identity, w.identity) for r, w in pairs])),
        attributes={
            name: share([getattr(r.identity, name) == getattr(w.identity, name) for r, w in pairs])
            for name in IDENTITY_CHOICES
        },
        action=share([r.action == w.action for r, w in pairs]),
        background=share([r.scene.background == w.scene.background for r, w in pairs]),
        time=share([r.scene.time == w.scene.time for r, w in pairs]),
        scene=share([r.scene == w.scene for r, w in pairs]),
    )


def twin_agreement(left: Sequence[Reading], right: Sequence[Reading]) -> float:
    """Mean share of identity attributes on which the two figures of each picture agree."""
    if not left:
        raise ValueError("pictures: got none, allowed: at least one")
    matches = [identity_match(a.identity, b.identity) for a, b in zip(left, right, strict=True)]
    return float(np.mean(matches))
