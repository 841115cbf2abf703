"""Characters that no training picture shows, and how well a recogniser tells them apart."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lafi_tiny.hand.attributes import (
    EXPRESSIONS,
    IDENTITY_CHOICES,
    Identity,
    pick,
    random_identity,
    random_setting,
    with_attribute,
)
from lafi_tiny.hand.picture import plain_picture, random_picture, render
from lafi_tiny.who.recogniser import looks, shows_everything
from lafi_tiny.who.verification import Array, equal_error_rate, identification, templates_of

Pixels = NDArray[np.uint8]
Embed = Callable[[Pixels], Array]
"""Pictures RGB uint8 (N, H, W, 3) of any size -> unit embeddings (N, D) float64."""

CALIBRATION_SEED, TEST_SEED = 101, 202


def unseen_characters(count: int, seed: int, others: set[Identity] | None = None) -> list[Identity]:
    """Different held-out identities, none of `others`.

    None hides its hair: those look like identities with other hair, which may be trained on.
    """
    rng, seen = np.random.default_rng([seed, 0]), set(others or ())
    characters: list[Identity] = []
    while len(characters) < count:
        identity = random_identity(rng, held_out=True)
        if identity not in seen and shows_everything(identity):
            seen.add(identity)
            characters.append(identity)
    return characters


def portrait(identity: Identity, rng: np.random.Generator) -> Pixels:
    """RGB uint8 (128, 128, 3): the character in a random held-out pose and scene.

    A whole figure from the front or the side, with any expression, so that all its looks are seen.
    """
    action, scene = random_setting(rng, held_out=True)
    view, expression = pick(rng, ("front", "side")), pick(rng, EXPRESSIONS)
    picture = plain_picture(rng, identity, action, scene, view=view, expression=expression)
    return np.asarray(render(picture))


def any_picture(identity: Identity, rng: np.random.Generator) -> Pixels:
    """The same in any view and framing, with any prop, so that some looks may be hidden."""
    picture = random_picture(rng, "single", held_out=True)
    figure = replace(picture.figures[0], identity=identity)
    return np.asarray(render(replace(picture, figures=(figure,))))


Drawn = Callable[[Identity, np.random.Generator], Pixels]
"""Draws a picture of a character."""


def portraits(characters: list[Identity], images: int, seed: int, draw: Drawn = portrait) -> Pixels:
    """RGB uint8 (characters, images, 128, 128, 3), no two alike in pose and scene."""
    rng = np.random.default_rng([seed, 1])
    rows = [[draw(identity, rng) for _ in range(images)] for identity in characters]
    return np.array(rows)


def neighbours(identity: Identity) -> Iterator[tuple[str, Identity]]:
    """(attribute, identity) for every visible change of one attribute, training ones too."""
    for name, values in IDENTITY_CHOICES.items():
        for value in values:
            other = with_attribute(identity, name, value)
            if looks(other) != looks(identity):
                yield name, other


@dataclass(frozen=True, slots=True)
class Verification:
    """Scores of pairs of pictures; `hard` by the one attribute in which two characters differ."""

    genuine: Array
    random: Array
    hard: dict[str, Array]

    @property
    def all_hard(self) -> Array:
        """The hard pairs of every attribute, (n,)."""
        return np.concatenate(list(self.hard.values()))

    def summary(self) -> dict[str, Any]:
        """Equal error rates and the random pairs' threshold."""
        rate, threshold = equal_error_rate(self.genuine, self.random)
        hard, hard_threshold = equal_error_rate(self.genuine, self.all_hard)
        return {
            "pairs": {
                "genuine": len(self.genuine),
                "random": len(self.random),
                "hard": len(self.all_hard),
            },
            "equal_error": rate,
            "threshold": threshold,
            "hard_equal_error": hard,
            "hard_threshold": hard_threshold,
            "hard_equal_error_by_attribute": {
                name: equal_error_rate(self.genuine, scores)[0]
                for name, scores in self.hard.items()
            },
        }


def verify(
    embed: Embed, characters: list[Identity], images: int, seed: int, embedded: Array | None = None
) -> Verification:
    """Compare all pictures of the same character, of two, and of one and its neighbours.

    `embedded` (characters, images, D) saves embedding the portraits again.
    """
    if embedded is None:
        embedded = embed_all(embed, portraits(characters, images, seed))
    return Verification(*pairs_of(embedded), _hard(embed, characters, embedded, seed))


def pairs_of(embedded: Array) -> tuple[Array, Array]:
    """Scores of every two pictures of one character, and of two; embeddings (N, images, D)."""
    count, images, width = embedded.shape
    cosines = embedded.reshape(-1, width) @ embedded.reshape(-1, width).T
    who = np.repeat(np.arange(count), images)
    first, second = np.triu_indices(len(who), k=1)
    same, pairs = who[first] == who[second], cosines[first, second]
    return pairs[same], pairs[~same]


@dataclass(frozen=True, slots=True)
class Lookalikes:
    """Pictures of characters that differ from another in one attribute.

    pictures    RGB uint8 (M, 128, 128, 3)
    owners      (M,) index of the character that each looks like
    attributes  in which it differs, M names
    """

    pictures: Pixels
    owners: NDArray[np.int64]
    attributes: tuple[str, ...]


def lookalikes(characters: Sequence[Identity], seed: int) -> Lookalikes:
    """For every character one picture of a neighbour for each attribute that can be seen."""
    rng = np.random.default_rng([seed, 2])
    pictures, rows, names = [], [], []
    for row, identity in enumerate(characters):
        by_attribute: dict[str, list[Identity]] = {}
        for name, other in neighbours(identity):
            by_attribute.setdefault(name, []).append(other)
        for name, others in by_attribute.items():
            pictures.append(portrait(others[int(rng.integers(len(others)))], rng))
            rows.append(row)
            names.append(name)
    return Lookalikes(np.stack(pictures), np.array(rows), tuple(names))


def _hard(embed: Embed, characters: list[Identity], embedded: Array, seed: int) -> dict[str, Array]:
    """Every character's pictures against one new picture of a neighbour for each attribute."""
    found = lookalikes(characters, seed)
    scores = np.einsum("pid,pd->pi", embedded[found.owners], embed(found.pictures))
    return {
        name: scores[[i for i, n in enumerate(found.attributes) if n == name]].reshape(-1)
        for name in IDENTITY_CHOICES
    }


def embed_all(embed: Embed, pictures: Pixels) -> Array:
    """(characters, images, 128, 128, 3) -> (characters, images, D)."""
    flat = embed(pictures.reshape(-1, *pictures.shape[2:]))
    return flat.reshape(*pictures.shape[:2], -1)


def identify_among(
    enrolled: Array, strangers: Array, per_enrolment: int, threshold: float
) -> dict[str, float]:
    """Open-set identification by embeddings (characters, images, D).

    The first `per_enrolment` images enrol a character, the others are its probes; all
    images of the strangers are unknown.
    """
    probes = enrolled[:, per_enrolment:]
    owners = np.repeat(np.arange(len(enrolled)), probes.shape[1])
    result = identification(
        templates_of(enrolled[:, :per_enrolment]),
        probes.reshape(-1, probes.shape[2]),
        owners,
        strangers.reshape(-1, strangers.shape[2]),
        threshold,
    )
    return asdict(result)
