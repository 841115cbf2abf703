"""Late fusion of what a character's pictures and its description say.

A score is a weighted sum of two cosines, of a probe with the pictures and with the words. Both
towers embed into one space, so the sum is the product with one vector, the fused template.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lafi_tiny.attributes import IDENTITY_CHOICES, Identity
from lafi_tiny.caption import describe
from lafi_tiny.open_set import (
    CALIBRATION_SEED,
    Embed,
    embed_all,
    lookalikes,
    portraits,
    unseen_characters,
)
from lafi_tiny.verification import Array, equal_error_rate

TextEmbed = Callable[[Sequence[str]], Array]
"""Descriptions -> unit embeddings (N, D) float64."""
CALIBRATED, IMAGES = 64, 4
"""Characters that decide how words count, and pictures of each; the first one enrols."""
Said = tuple[int, int]
"""The fewest and the most attributes that a description names."""
SAID: Said = (3, 8)
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
"""Of the words; 0 is the pictures alone, 1 the words alone."""


def fused_templates(pictures: Array, words: Array, weight: float) -> Array:
    """(N, D) each -> (N, D), not of unit length: probe times row is the fused score."""
    fused: Array = (1 - weight) * pictures + weight * words
    return fused


def descriptions(characters: Sequence[Identity], said: Said, seed: int) -> list[str]:
    """One for each, naming from `said[0]` to `said[1]` of its eight attributes, by chance."""
    rng = np.random.default_rng([seed, 3, *said])
    names = [*IDENTITY_CHOICES]
    texts = []
    for who in characters:
        count = int(rng.integers(said[0], said[1] + 1))
        some = tuple(rng.choice(names, size=count, replace=False).tolist())
        texts.append(describe(who, some))
    return texts


def pair_scores(templates: Array, probes: Array) -> tuple[Array, Array]:
    """Genuine and impostor scores of probes (N, P, D) against templates (N, D)."""
    scores = np.einsum("npd,md->nmp", probes, templates)
    own: NDArray[np.bool_] = np.eye(len(templates), dtype=bool)
    return scores[own].reshape(-1), scores[~own].reshape(-1)


@dataclass(frozen=True, slots=True)
class Seen:
    """Embeddings that decide how words count.

    enrolled, words  (N, D) of N characters: one picture, and a description
    probes           (N, P, D): more pictures of each
    near, owners     (M, D), (M,): pictures of others, and whom each looks like
    """

    enrolled: Array
    words: Array
    probes: Array
    near: Array
    owners: NDArray[np.int64]

    def fused(self, weight: float) -> Array:
        """(N, D)."""
        return fused_templates(self.enrolled, self.words, weight)

    def lookalike_error(self, weight: float) -> float:
        """Equal error between a character's pictures and those of its lookalikes."""
        templates = self.fused(weight)
        genuine, _ = pair_scores(templates, self.probes)
        impostor: Array = (self.near * templates[self.owners]).sum(axis=1)
        return equal_error_rate(genuine, impostor)[0]

    def best_weight(self) -> float:
        """That of WEIGHTS with the least lookalike error; of equal ones the least."""
        return min(WEIGHTS, key=self.lookalike_error)


def see(
    embed: Embed, describe_all: TextEmbed, characters: list[Identity], said: Said, seed: int
) -> Seen:
    """Draw, describe and embed characters and their lookalikes."""
    seen = embed_all(embed, portraits(characters, IMAGES, seed))
    others = lookalikes(characters, seed)
    words = describe_all(descriptions(characters, said, seed))
    return Seen(seen[:, 0], words, seen[:, 1:], embed(others.pictures), others.owners)


def calibrate_words(embed: Embed, describe_all: TextEmbed, threshold: float) -> dict[str, float]:
    """How words count, on characters that neither training nor the benchmarks use.

    threshold: of pictures alone; `shift` makes it do for fused scores too, both at the equal
    error of random pairs. The weight is the one that tells lookalikes apart best.
    """
    characters = unseen_characters(CALIBRATED, CALIBRATION_SEED)
    seen = see(embed, describe_all, characters, SAID, CALIBRATION_SEED)
    weight = seen.best_weight()
    _, fused = equal_error_rate(*pair_scores(seen.fused(weight), seen.probes))
    return {
        "weight": weight,
        "shift": round(threshold - fused, 4),
        "lookalike_error": round(seen.lookalike_error(weight), 5),
        "lookalike_error_of_pictures_alone": round(seen.lookalike_error(0.0), 5),
    }
