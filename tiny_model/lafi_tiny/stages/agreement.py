"""How far readings agree with what was asked for and with each other, on what can be seen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from lafi_tiny.hand.attributes import Identity, Scene, random_identity, random_setting
from lafi_tiny.hand.visibility import visible_looks
from lafi_tiny.stages.reader import Reading


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a panel was asked to show."""

    identity: Identity
    action: str
    scene: Scene

    @property
    def visible(self) -> tuple[str, ...]:
        """Attributes that a medium front view shows."""
        return visible_looks(self.identity, "front", "medium")


def held_out_wanted(count: int, seed: int) -> list[Wanted]:
    """(character, action, scene) triples of which neither side was trained on."""
    rng = np.random.default_rng([seed, 5])
    wanted = []
    for _ in range(count):
        action, scene = random_setting(rng, held_out=True)
        wanted.append(Wanted(random_identity(rng, held_out=True), action, scene))
    return wanted


def match(reading: Reading, identity: Identity, names: Collection[str]) -> float:
    """Share of the named attributes that were read as they should be."""
    if not names:
        raise ValueError("names: got none, allowed: at least one")
    return float(np.mean([reading.names[name] == getattr(identity, name) for name in names]))


def figures_agree(left: Reading, right: Reading) -> float:
    """Share of the attributes to be seen of both figures on which the two agree."""
    names = left.visible & right.visible
    return float(np.mean([left.names[name] == right.names[name] for name in names]))


def agreements(left: Sequence[Reading], right: Sequence[Reading]) -> list[float]:
    """`figures_agree` pair by pair."""
    return [figures_agree(a, b) for a, b in zip(left, right, strict=True)]


def strangers(left: Sequence[Reading], right: Sequence[Reading]) -> list[float]:
    """The same with figures of other pictures: chance. Needs at least two pictures."""
    if len(left) < 2:
        raise ValueError(f"pictures: got {len(left)}, allowed: at least 2")
    return agreements(left, [*right[1:], right[0]])
