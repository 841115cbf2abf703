"""What a picture of the data set is made of: identity, what happens, scene, view and framing."""

from dataclasses import dataclass, fields, replace

import numpy as np

RGB = tuple[int, int, int]

SKIN: dict[str, RGB] = {"pale": (255, 228, 206), "tan": (228, 170, 122), "dark": (160, 106, 76)}
HAIR: dict[str, RGB] = {
    "black": (50, 44, 58),
    "blond": (252, 212, 96),
    "red": (216, 90, 40),
    "white": (238, 238, 244),
    "blue": (78, 128, 234),
}
HAIRSTYLE = ("short", "long", "bun", "spiky", "curly", "pigtails")
TOP: dict[str, RGB] = {
    "red": (226, 58, 62),
    "blue": (52, 104, 220),
    "green": (54, 164, 90),
    "yellow": (252, 206, 56),
    "purple": (150, 84, 200),
    "white": (250, 250, 248),
}
PATTERN = ("plain", "striped", "dotted")
GARMENT = ("trousers", "shorts", "skirt")
BOTTOM: dict[str, RGB] = {
    "navy": (44, 56, 120),
    "brown": (132, 86, 52),
    "green": (98, 148, 76),
    "pink": (244, 140, 172),
    "cream": (240, 226, 190),
}
ACCESSORY = ("none", "cap", "scarf", "glasses", "crown")
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
ARM_ACTIONS = ("standing", "waving", "cheering", "pointing")
"""Actions that can be told without the legs, hence the only ones of half portraits."""
PLACES = ("meadow", "beach", "city", "snow", "forest", "room", "farm", "library")
LIGHTS = ("day", "sunset", "night", "rain")
EXPRESSIONS = ("neutral", "happy", "sad", "angry", "surprised")
PROPS = ("none", "ball", "umbrella", "book", "balloon", "teddy")
VIEWS = ("front", "side", "back")
FRAMINGS = ("near", "medium", "far")
FACINGS = ("left", "right")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who: every field is one of the names above. `bottom` is the colour of the `garment`."""

    skin: str
    hair: str
    hairstyle: str
    top: str
    pattern: str
    garment: str
    bottom: str
    accessory: str
    build: str


IDENTITY_CHOICES: dict[str, tuple[str, ...]] = {
    "skin": tuple(SKIN),
    "hair": tuple(HAIR),
    "hairstyle": HAIRSTYLE,
    "top": tuple(TOP),
    "pattern": PATTERN,
    "garment": GARMENT,
    "bottom": tuple(BOTTOM),
    "accessory": ACCESSORY,
    "build": BUILD,
}
IDENTITY_NAMES = tuple(IDENTITY_CHOICES)


@dataclass(frozen=True, slots=True)
class Scene:
    """Where, and in what light."""

    place: str
    light: str


def is_held_out_identity(identity: Identity) -> bool:
    """True for the one in ten identities that no training picture shows."""
    key = (
        3 * list(HAIR).index(identity.hair)
        + 5 * list(TOP).index(identity.top)
        + 7 * list(BOTTOM).index(identity.bottom)
        + 2 * list(SKIN).index(identity.skin)
        + HAIRSTYLE.index(identity.hairstyle)
    )
    return key % 10 == 0


def is_held_out_setting(action: str, scene: Scene) -> bool:
    """True for the (action, place, light) triples kept out of training: one in nine."""
    key = ACTIONS.index(action) + 2 * PLACES.index(scene.place) + 4 * LIGHTS.index(scene.light)
    return key % 9 == 0


def random_identity(rng: np.random.Generator, *, held_out: bool = False) -> Identity:
    """Draw every attribute independently, on the wanted side of the held-out split."""
    while True:
        names = {k: pick(rng, v) for k, v in IDENTITY_CHOICES.items()}
        identity = Identity(**names)
        if is_held_out_identity(identity) == held_out:
            return identity


def different_identity(
    rng: np.random.Generator, others: tuple[Identity, ...], *, held_out: bool = False
) -> Identity:
    """An identity that differs from each of `others` in at least four attributes."""
    while True:
        identity = random_identity(rng, held_out=held_out)
        if all(count_matches(identity, o) <= len(IDENTITY_NAMES) - 4 for o in others):
            return identity


def random_setting(rng: np.random.Generator, *, held_out: bool = False) -> tuple[str, Scene]:
    """An action and a scene, independent of each other but for the held-out triples."""
    while True:
        action = pick(rng, ACTIONS)
        scene = Scene(pick(rng, PLACES), pick(rng, LIGHTS))
        if is_held_out_setting(action, scene) == held_out:
            return action, scene


def count_matches(a: Identity, b: Identity) -> int:
    """How many of the nine identity attributes agree."""
    return sum(getattr(a, f.name) == getattr(b, f.name) for f in fields(Identity))


def with_attribute(identity: Identity, name: str, value: str) -> Identity:
    """The same identity but for one attribute."""
    return replace(identity, **{name: value})


def pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    """One of the names, each as likely as the others."""
    return choices[int(rng.integers(len(choices)))]


def pick_weighted(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """One of the names by its share; shares add up to 1."""
    roll, below = rng.random(), 0.0
    for name, share in shares.items():
        below += share
        if roll < below:
            return name
    return name
