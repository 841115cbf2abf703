"""Late fusion of what a character's picture and its description say.

The score of a probe is its cosine with the picture, plus `weight` times how much better it fits the
words than the picture does. So an enrolled picture has score 1 whatever is said, and a short
description, which no picture fits well, shifts no score against those of other characters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lafi_tiny.hand.attributes import Identity
from lafi_tiny.hand.caption import some_attributes
from lafi_tiny.hand.looks import describe
from lafi_tiny.who.open_set import (
    CALIBRATION_SEED,
    Embed,
    embed_all,
    lookalikes,
    portraits,
    unseen_characters,
)
from lafi_tiny.who.recogniser import looks
from lafi_tiny.who.verification import Array, equal_error_rate

TextEmbed = Callable[[Sequence[str]], Array]
"""Descriptions -> unit embeddings (N, D) float64."""
CALIBRATED, IMAGES = 64, 4
"""Characters that decide how words count, and pictures of each; the first one enrols."""
Said = tuple[int, int]
"""The fewest and the most attributes that a description names."""
SAID: Said = (3, 9)
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(21))
"""Of the words; 0 is the pictures alone."""


def descriptions(characters: Sequence[Identity], said: Said, seed: int) -> list[str]:
    """One for each, naming from `said[0]` to `said[1]` of what is seen of it, by chance."""
    rng = np.random.default_rng([seed, 3, *said])
    return [describe(who, some_attributes(rng, tuple(looks(who)), *said)) for who in characters]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """N characters, each known by one picture and a description; unit embeddings (N, D) of both."""

    pictures: Array
    words: Array

    def scores(self, probes: Array, weight: float) -> Array:
        """Fused scores (P, N) of probes (P, D)."""
        own = (self.pictures * self.words).sum(axis=1)
        fused: Array = probes @ self.pictures.T + weight * (probes @ self.words.T - own)
        return fused

    def by_words(self, probes: Array) -> Array:
        """Scores (P, N) of probes (P, D) by the descriptions alone."""
        scores: Array = probes @ self.words.T
        return scores


@dataclass(frozen=True, slots=True)
class Probes:
    """Pictures to tell apart, embedded, and of whom they are or whom they look like.

    own    (N, P, D): P more pictures of each of N characters
    near   (M, D) of others that differ from character `owners` (M,) in one attribute
    """

    own: Array
    near: Array
    owners: NDArray[np.int64]


Scoring = Callable[[Array], Array]
"""Probes (P, D) -> scores (P, N) with the enrolled characters."""


def lookalike_error(scoring: Scoring, probes: Probes) -> float:
    """Equal error between a character's pictures and those of its lookalikes."""
    count, each, width = probes.own.shape
    owners = np.arange(count).repeat(each)
    genuine = scoring(probes.own.reshape(-1, width))[np.arange(len(owners)), owners]
    impostor = scoring(probes.near)[np.arange(len(probes.owners)), probes.owners]
    return equal_error_rate(genuine, impostor)[0]


def see(embed: Embed, characters: list[Identity], seed: int) -> tuple[Array, Probes]:
    """Draw and embed: the picture (N, D) that enrols each character, and all that is told apart."""
    seen = embed_all(embed, portraits(characters, IMAGES, seed))
    others = lookalikes(characters, seed)
    return seen[:, 0], Probes(seen[:, 1:], embed(others.pictures), others.owners)


def best_weight(enrolled: Enrolled, probes: Probes) -> float:
    """That of WEIGHTS with the least lookalike error; of equal ones the least."""

    def error(weight: float) -> float:
        return lookalike_error(lambda rows: enrolled.scores(rows, weight), probes)

    return min(WEIGHTS, key=error)


def calibrate_words(embed: Embed, describe_all: TextEmbed) -> dict[str, float]:
    """How much words count, on characters that neither training nor the benchmarks use."""
    characters = unseen_characters(CALIBRATED, CALIBRATION_SEED)
    pictures, probes = see(embed, characters, CALIBRATION_SEED)
    words = describe_all(descriptions(characters, SAID, CALIBRATION_SEED))
    enrolled = Enrolled(pictures, words)
    weight = best_weight(enrolled, probes)
    errors = (
        lookalike_error(lambda rows: enrolled.scores(rows, weight), probes),
        lookalike_error(lambda rows: enrolled.scores(rows, 0.0), probes),
    )
    return {
        "weight": weight,
        "lookalike_error": round(errors[0], 5),
        "lookalike_error_of_pictures_alone": round(errors[1], 5),
    }
