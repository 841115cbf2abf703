"""Panels with several drawn characters, side by side, and the ways to draw them.

Everything is from the held-out side of the bundled model's data set. Knows the drawn characters,
not pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from lafi.board.injection import Injection
from lafi.board.limits import MAX_CHARACTERS
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi_tiny.attributes import (
    IDENTITY_CHOICES,
    Identity,
    Scene,
    is_held_out_setting,
    random_identity,
    random_setting,
)
from lafi_tiny.caption import ACTION_WORDS, PLACE_WORDS, TIME_WORDS, describe
from lafi_tiny.picture import Picture, random_picture, render
from lafi_tiny.pose import random_pose
from lafi_tiny.reference_sheet import reference_png

SHARE = 32
"""Pixels of a panel's width per character; two fill the 64 px of the training."""
SIDE = 64
NAMED = ("hair", "top")
"""Attributes that a description names, as captions of the data set do: two, not all eight."""
LEAST_TELLING = 4
"""The least number of attributes in which all characters of a panel differ."""
_COUNTS = {2: "two", 3: "three"}
_PLACES = {2: ("left", "right"), 3: ("left", "in the middle", "right")}


@dataclass(frozen=True, slots=True)
class Cast:
    """One panel: characters and actions from left to right, and the scene."""

    identities: tuple[Identity, ...]
    actions: tuple[str, ...]
    scene: Scene
    seed: int

    @property
    def telling(self) -> tuple[str, ...]:
        """Attributes in which no two of its characters agree: only these tell them apart."""
        return tuple(
            name
            for name in IDENTITY_CHOICES
            if len({getattr(who, name) for who in self.identities}) == len(self.identities)
        )


@dataclass(frozen=True, slots=True)
class Way:
    """One way to draw a cast.

    described  whether the prompt names two attributes of each character
    regions    whether each character has its share of the panel as its region
    """

    name: str
    injection: Injection
    described: bool
    regions: bool


def casts(count: int, characters: int, *, seed: int) -> list[Cast]:
    """`count` casts of two or three; cast i is the same whatever the count."""
    return [_cast(np.random.default_rng([seed, characters, i]), characters) for i in range(count)]


def ways(injections: dict[str, Injection]) -> list[Way]:
    """For each injection, with words or without: no regions, regions, and words in the regions.

    Without injection and words, regions have no effect, so that combination is left out.
    """
    found = []
    for name, injection in injections.items():
        everywhere = injection.model_copy(update={"words": "everywhere"})
        limited = injection.model_copy(update={"words": "region"})
        found.append(Way(name, everywhere, False, False))
        if injection.layers != "none":
            found.append(Way(f"{name}, regions", everywhere, False, True))
            found.append(Way(f"{name}, regions; described", everywhere, True, True))
        else:
            found.append(Way(f"{name}; described", everywhere, True, False))
        found.append(Way(f"{name}, regions; described in regions", limited, True, True))
    return found


def storyboards(given: Sequence[Cast], way: Way, sampling: Sampling) -> list[Storyboard]:
    """The casts' panels in order, split so that each storyboard has few enough characters."""
    count = len(given[0].identities)
    boards = []
    for start in range(0, len(given), MAX_CHARACTERS // count):
        part = given[start : start + MAX_CHARACTERS // count]
        characters = tuple(
            _character(f"c{i}_{place}", who, way, cast.seed + place)
            for i, cast in enumerate(part)
            for place, who in enumerate(cast.identities)
        )
        panels = tuple(_panel(i, cast, way) for i, cast in enumerate(part))
        boards.append(
            Storyboard(
                width=SHARE * count,
                height=SIDE,
                characters=characters,
                panels=panels,
                sampling=sampling,
                injection=way.injection,
            )
        )
    return boards


def real_pictures(given: Sequence[Cast]) -> list[Image.Image]:
    """The data set's own pictures of casts of two, (64, 64) each."""
    return [render(_real(cast)) for cast in given]


def _real(cast: Cast) -> Picture:
    rng = np.random.default_rng(cast.seed)
    figures = tuple(
        replace(figure, identity=who, action=action, pose=random_pose(rng, action))
        for figure, who, action in zip(
            random_picture(rng, "pair").figures, cast.identities, cast.actions, strict=True
        )
    )
    return Picture("pair", figures, (cast.scene,), cast.seed)


def _cast(rng: np.random.Generator, characters: int) -> Cast:
    while True:
        identities = tuple(random_identity(rng, held_out=True) for _ in range(characters))
        action, scene = random_setting(rng, held_out=True)
        actions = [action]
        while len(actions) < characters:
            action = random_setting(rng, held_out=True)[0]
            if is_held_out_setting(action, scene):
                actions.append(action)
        cast = Cast(identities, tuple(actions), scene, seed=int(rng.integers(2**31)))
        if len(cast.telling) >= LEAST_TELLING:
            return cast


def _character(name: str, who: Identity, way: Way, seed: int) -> Character:
    return Character(
        name=name,
        prompt=describe(who, NAMED) if way.described else "a child",
        reference=ReferenceImage(data=reference_png(who, seed=seed)),
    )


def _panel(index: int, cast: Cast, way: Way) -> Panel:
    names = tuple(f"c{index}_{place}" for place in range(len(cast.identities)))
    count = len(names)
    boxes = {
        name: (place / count, 0.0, (place + 1) / count, 1.0) for place, name in enumerate(names)
    }
    return Panel(
        prompt=_prompt(cast, names if way.described else None),
        characters=names,
        regions=boxes if way.regions else {},
        seed=cast.seed,
    )


def _prompt(cast: Cast, names: Sequence[str] | None) -> str:
    """Worded like captions of two different characters, which never describe looks."""
    count = len(cast.identities)
    where = PLACE_WORDS["en"][cast.scene.background][0]
    when = TIME_WORDS["en"][cast.scene.time][0]
    doing = [
        " ".join([place, *([f"{{{names[i]}}}"] if names else []), ACTION_WORDS["en"][action][0]])
        for i, (place, action) in enumerate(zip(_PLACES[count], cast.actions, strict=True))
    ]
    return f"{_COUNTS[count]} different children {where} {when}, {', '.join(doing)}"
