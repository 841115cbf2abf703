"""Error rates of telling characters apart by the cosine of their embeddings.

Knows arrays of scores, neither networks nor pictures. Higher scores mean more alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """At every threshold (n,), ascending: a score at or above it is accepted.

    false_accept    share of the impostors accepted
    false_reject    share of the genuine ones rejected
    """

    threshold: Array
    false_accept: Array
    false_reject: Array


def error_rates(genuine: Array, impostor: Array) -> ErrorRates:
    """Of two sets of scores; raises ValueError if one is empty."""
    for name, scores in (("genuine", genuine), ("impostor", impostor)):
        if len(scores) == 0:
            raise ValueError(f"{name}: got no scores, allowed: at least one")
    scores = np.unique(np.concatenate([genuine, impostor]))
    threshold = np.append(scores, np.nextafter(scores[-1], np.inf))
    below_impostor = np.searchsorted(np.sort(impostor), threshold, side="left")
    below_genuine = np.searchsorted(np.sort(genuine), threshold, side="left")
    return ErrorRates(
        threshold=threshold,
        false_accept=1 - below_impostor / len(impostor),
        false_reject=below_genuine / len(genuine),
    )


def equal_error_rate(genuine: Array, impostor: Array) -> tuple[float, float]:
    """(rate, threshold) where both errors are as equal as the scores allow.

    The rate is the mean of the two errors there. Where a whole range of thresholds does
    equally well, the middle of it is taken.
    """
    rates = error_rates(genuine, impostor)
    gap = np.abs(rates.false_accept - rates.false_reject)
    best = np.flatnonzero(gap == gap.min())
    at = int(best[0])
    rate = (rates.false_accept[at] + rates.false_reject[at]) / 2
    # A threshold stands for the interval down to the score before it.
    lowest = rates.threshold[at - 1] if at else rates.threshold[0]
    return float(rate), float((lowest + rates.threshold[best[-1]]) / 2)


@dataclass(frozen=True, slots=True)
class Identification:
    """Probes against enrolled characters.

    rank_1          share of the known probes whose best match is right
    missed          share of the known probes that were called unknown or somebody else
    false_accept    share of the unknown probes taken for somebody
    equal_error     where `missed` and `false_accept` meet if the threshold is free
    threshold       the one that gives it
    """

    rank_1: float
    missed: float
    false_accept: float
    equal_error: float
    threshold: float


def identification(
    templates: Array, known: Array, owners: NDArray[np.int64], unknown: Array, threshold: float
) -> Identification:
    """Unit templates (N, D), known probes (P, D) of template `owners` (P,), unknown (Q, D)."""
    return identified(known @ templates.T, owners, unknown @ templates.T, threshold)


def identified(
    scores: Array, owners: NDArray[np.int64], unknown: Array, threshold: float
) -> Identification:
    """Scores of the known probes (P, N), of whom `owners` (P,), and of the unknown ones (Q, N)."""
    strangers = unknown.max(axis=1)
    right = scores.argmax(axis=1) == owners
    # A probe that best matches somebody else is missed at every threshold.
    found = np.where(right, scores.max(axis=1), min(scores.min(), strangers.min()) - 1.0)
    equal_error, at = equal_error_rate(found, strangers)
    return Identification(
        rank_1=float(right.mean()),
        missed=float((found < threshold).mean()),
        false_accept=float((strangers >= threshold).mean()),
        equal_error=equal_error,
        threshold=at,
    )


def templates_of(embeddings: Array) -> Array:
    """One unit template (N, D) for each character's images (N, images, D): their mean."""
    total = embeddings.sum(axis=1)
    unit: Array = total / np.linalg.norm(total, axis=1, keepdims=True)
    return unit
