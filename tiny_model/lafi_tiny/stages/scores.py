"""What the readings of panels say about following the prompt and about who is in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lafi_tiny.hand.attributes import IDENTITY_NAMES
from lafi_tiny.stages.agreement import Wanted, match
from lafi_tiny.stages.reader import Reading


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares in [0, 1] over a set of panels.

    identity    mean share of the character's attributes that match, of those that can be seen
    attributes  the same for each attribute; without those that nobody here shows
    action      panels whose action is the wanted one
    place, light, scene    the same for the place, the light, and both
    """

    panels: int
    identity: float
    attributes: dict[str, float]
    action: float
    place: float
    light: float
    scene: float


def score(readings: Sequence[Reading], wanted: Sequence[Wanted]) -> Scores:
    """Compare readings with what was asked for, panel by panel."""
    pairs = list(zip(readings, wanted, strict=True))
    if not pairs:
        raise ValueError("panels: got none, allowed: at least one")

    def share(hits: list[bool]) -> float:
        return float(np.mean(hits))

    by_name = {
        name: [r.names[name] == getattr(w.identity, name) for r, w in pairs if name in w.visible]
        for name in IDENTITY_NAMES
    }
    return Scores(
        panels=len(pairs),
        identity=float(np.mean([match(r, w.identity, w.visible) for r, w in pairs])),
        attributes={name: share(hits) for name, hits in by_name.items() if hits},
        action=share([r.action == w.action for r, w in pairs]),
        place=share([r.scene.place == w.scene.place for r, w in pairs]),
        light=share([r.scene.light == w.scene.light for r, w in pairs]),
        scene=share([r.scene == w.scene for r, w in pairs]),
    )
