"""Late fusion of what a character's pictures and its description say.

A score is a weighted sum of two cosines, of a probe with the pictures and with the words. Both
towers embed into one space, so the sum is the product with one vector, the fused template.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lafi_tiny.attributes import IDENTITY_CHOICES, Identity
from lafi_tiny.caption import describe
from lafi_tiny.open_set import (
    CALIBRATION_SEED,
    Embed,
    embed_all,
    portraits,
    unseen_characters,
)
from lafi_tiny.verification import Array, equal_error_rate

TextEmbed = Callable[[Sequence[str]], Array]
"""Descriptions -> unit embeddings (N, D) float64."""
CALIBRATED, IMAGES = 64, 4
"""Characters that decide how words count, and pictures of each; the first one enrols."""
SAID = (3, 8)
"""How many attributes their descriptions name."""
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
"""Of the words; 0 is the pictures alone, 1 the words alone."""


def fused_templates(pictures: Array, words: Array, weight: float) -> Array:
    """(N, D) each -> (N, D), not of unit length: probe times row is the fused score."""
    fused: Array = (1 - weight) * pictures + weight * words
    return fused


def descriptions(characters: Sequence[Identity], said: tuple[int, int], seed: int) -> list[str]:
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


def best_weight(pictures: Array, words: Array, probes: Array) -> tuple[float, float, float]:
    """(weight, equal error over all pairs, threshold): that of WEIGHTS with the least error.

    pictures, words: (N, D) of N characters. probes: (N, P, D), more pictures of each. Of equal
    weights the least.
    """
    found = []
    for weight in WEIGHTS:
        scores = pair_scores(fused_templates(pictures, words, weight), probes)
        error, threshold = equal_error_rate(*scores)
        found.append((error, weight, threshold))
    error, weight, threshold = min(found)
    return weight, error, threshold


def calibrate_words(embed: Embed, describe_all: TextEmbed, threshold: float) -> dict[str, float]:
    """How words count, on characters that neither training nor the benchmarks use.

    threshold: of pictures alone; `shift` makes it do for fused scores too.
    """
    characters = unseen_characters(CALIBRATED, CALIBRATION_SEED)
    seen = embed_all(embed, portraits(characters, IMAGES, CALIBRATION_SEED))
    words = describe_all(descriptions(characters, SAID, CALIBRATION_SEED))
    weight, error, fused = best_weight(seen[:, 0], words, seen[:, 1:])
    alone, _ = equal_error_rate(*pair_scores(seen[:, 0], seen[:, 1:]))
    return {
        "weight": weight,
        "shift": round(threshold - fused, 4),
        "equal_error": round(error, 5),
        "equal_error_of_pictures_alone": round(alone, 5),
    }
