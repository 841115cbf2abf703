"""What a picture of the data set is made of: identity, pose, scene and framing."""

from dataclasses import dataclass, fields, replace

import numpy as np

RGB = tuple[int, int, int]

SKIN: dict[str, RGB] = {"pale": (255, 220, 190), "tan": (214, 150, 100), "dark": (120, 72, 48)}
HAIR: dict[str, RGB] = {
    "black": (34, 30, 40),
    "blond": (248, 212, 82),
    "red": (206, 72, 28),
    "white": (232, 232, 240),
    "blue": (58, 110, 230),
}
HAIRSTYLE = ("short", "long", "bun", "spiky")
TOP: dict[str, RGB] = {
    "red": (218, 40, 48),
    "blue": (40, 84, 214),
    "green": (34, 150, 70),
    "yellow": (250, 204, 30),
    "purple": (146, 60, 190),
    "white": (244, 244, 244),
}
PATTERN = ("plain", "striped", "dotted")
TROUSERS: dict[str, RGB] = {
    "navy": (30, 44, 104),
    "brown": (122, 76, 40),
    "green": (70, 128, 62),
    "crimson": (160, 26, 58),
    "cream": (236, 222, 184),
}
ACCESSORY = ("none", "cap", "scarf", "glasses")
BUILD = ("slim", "stout")

ACTIONS = (
    "standing",
    "waving",
    "cheering",
    "running",
    "sitting",
    "kicking",
    "jumping",
    "pointing",
)
BACKGROUNDS = ("meadow", "beach", "city", "snow", "forest", "room")
TIMES = ("day", "sunset", "night")
FACINGS = ("left", "right")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who: every field is one of the names above."""

    skin: str
    hair: str
    hairstyle: str
    top: str
    pattern: str
    trousers: str
    accessory: str
    build: str


IDENTITY_CHOICES: dict[str, tuple[str, ...]] = {
    "skin": tuple(SKIN),
    "hair": tuple(HAIR),
    "hairstyle": HAIRSTYLE,
    "top": tuple(TOP),
    "pattern": PATTERN,
    "trousers": tuple(TROUSERS),
    "accessory": ACCESSORY,
    "build": BUILD,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """Where and when."""

    background: str
    time: str


def is_held_out_identity(identity: Identity) -> bool:
    """True for the one in ten identities that no training picture shows."""
    key = (
        3 * list(HAIR).index(identity.hair)
        + 5 * list(TOP).index(identity.top)
        + 7 * list(TROUSERS).index(identity.trousers)
        + 2 * list(SKIN).index(identity.skin)
        + HAIRSTYLE.index(identity.hairstyle)
    )
    return key % 10 == 0


def is_held_out_setting(action: str, scene: Scene) -> bool:
    """True for the (action, background, time) triples kept out of training: one in nine."""
    key = (
        ACTIONS.index(action)
        + 2 * BACKGROUNDS.index(scene.background)
        + 4 * TIMES.index(scene.time)
    )
    return key % 9 == 0


def random_identity(rng: np.random.Generator, *, held_out: bool = False) -> Identity:
    """Draw every attribute independently, on the wanted side of the held-out split."""
    while True:
        names = {k: str(rng.choice(v)) for k, v in IDENTITY_CHOICES.items()}
        identity = Identity(**names)
        if is_held_out_identity(identity) == held_out:
            return identity


def different_identity(
    rng: np.random.Generator, other: Identity, *, held_out: bool = False
) -> Identity:
    """An identity that differs from `other` in at least four attributes."""
    while True:
        identity = random_identity(rng, held_out=held_out)
        if count_matches(identity, other) <= len(IDENTITY_CHOICES) - 4:
            return identity


def random_setting(rng: np.random.Generator, *, held_out: bool = False) -> tuple[str, Scene]:
    """An action and a scene, independent of each other but for the held-out triples."""
    while True:
        action = str(rng.choice(ACTIONS))
        scene = Scene(str(rng.choice(BACKGROUNDS)), str(rng.choice(TIMES)))
        if is_held_out_setting(action, scene) == held_out:
            return action, scene


def count_matches(a: Identity, b: Identity) -> int:
    """How many of the eight identity attributes agree."""
    return sum(getattr(a, f.name) == getattr(b, f.name) for f in fields(Identity))


def with_attribute(identity: Identity, name: str, value: str) -> Identity:
    """The same identity but for one attribute."""
    return replace(identity, **{name: value})
