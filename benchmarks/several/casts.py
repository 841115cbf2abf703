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
from lafi_tiny.hand.attributes import (
    IDENTITY_NAMES,
    Identity,
    Scene,
    is_held_out_setting,
    random_identity,
    random_setting,
)
from lafi_tiny.hand.caption import POSITIONS, SEVERAL
from lafi_tiny.hand.looks import describe
from lafi_tiny.hand.picture import SIDE, Picture, random_picture, render
from lafi_tiny.hand.pose import random_pose
from lafi_tiny.hand.reference_sheet import reference_png
from lafi_tiny.hand.visibility import visible_looks
from lafi_tiny.hand.words import ACTION_WORDS, LIGHT_WORDS, PLACE_WORDS

NAMED = ("hair", "top")
"""Attributes that a description names: two, as many captions of the data set do."""
LEAST_TELLING = 4
"""The least number of attributes in which all characters of a panel differ."""
_KINDS = {2: "pair", 3: "trio"}


def seen_of(who: Identity) -> tuple[str, ...]:
    """Attributes that a whole figure shows from the front."""
    return visible_looks(who, "front", "medium")


@dataclass(frozen=True, slots=True)
class Cast:
    """One panel: characters and actions from left to right, and the scene."""

    identities: tuple[Identity, ...]
    actions: tuple[str, ...]
    scene: Scene
    seed: int

    @property
    def telling(self) -> tuple[str, ...]:
        """Attributes seen of all its characters in which no two agree: these tell them apart."""
        return tuple(
            name
            for name in IDENTITY_NAMES
            if all(name in seen_of(who) for who in self.identities)
            and len({getattr(who, name) for who in self.identities}) == len(self.identities)
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
                width=SIDE,
                height=SIDE,
                characters=characters,
                panels=panels,
                sampling=sampling,
                injection=way.injection,
            )
        )
    return boards


def real_pictures(given: Sequence[Cast]) -> list[Image.Image]:
    """The data set's own pictures of casts, (SIDE, SIDE) each."""
    return [render(_real(cast)) for cast in given]


def _real(cast: Cast) -> Picture:
    rng, kind = np.random.default_rng(cast.seed), _KINDS[len(cast.identities)]
    drawn = random_picture(rng, kind).figures
    figures = tuple(
        replace(
            figure,
            identity=who,
            action=action,
            pose=random_pose(rng, action),
            view="front",
            expression="neutral",
            prop="none",
        )
        for figure, who, action in zip(drawn, cast.identities, cast.actions, strict=True)
    )
    return Picture(kind, figures, (cast.scene,), cast.seed)


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
        prompt=describe(who, set(NAMED) & set(seen_of(who))) if way.described else "a child",
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
    """Worded like captions of different characters; with names, each is described in its place."""
    count = len(cast.identities)
    where = PLACE_WORDS["en"][cast.scene.place][0]
    when = LIGHT_WORDS["en"][cast.scene.light][0]
    doing = [
        " ".join([place, *([f"{{{names[i]}}}"] if names else []), ACTION_WORDS["en"][action][0]])
        for i, (place, action) in enumerate(zip(POSITIONS[count]["en"], cast.actions, strict=True))
    ]
    return f"{SEVERAL[count]['en'][0]} {where} {when}, {', '.join(doing)}"
