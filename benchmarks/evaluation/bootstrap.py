"""Figures with bootstrap intervals, for any function of sums over panels.

Knows numbers, not pictures. Panels with the same reference are resampled together, because they
are not independent.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ENOUGH = 0.9
"""Share of the resamples for which a figure must be defined."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A figure of P panels.

    terms  (P, K): what each panel adds to the sums
    value  sums (..., K) -> figures (...); nan if undefined for these sums
    """

    terms: Array
    value: Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the ends of its 95% percentile interval (Efron 1979)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Resampling:
    """Number of resamples, and their seed."""

    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"resamples: got {self.resamples}, allowed 1 or more")


def mean(values: Array, counts: NDArray[np.bool_] | None = None) -> Statistic:
    """Mean of values (P,) over the panels that count; nan if none does."""
    weight = np.ones(len(values)) if counts is None else counts.astype(float)
    terms = np.stack([np.where(weight > 0, values, 0.0), weight], axis=1)
    return Statistic(terms, lambda sums: _ratio(sums[..., 0], sums[..., 1]))


def difference(left: Statistic, right: Statistic) -> Statistic:
    """left - right over the same panels, resampled together."""
    width = left.terms.shape[1]
    return Statistic(
        np.concatenate([left.terms, right.terms], axis=1),
        lambda sums: left.value(sums[..., :width]) - right.value(sums[..., width:]),
    )


def ratio(left: Statistic, right: Statistic) -> Statistic:
    """left / right over the same panels, resampled together; nan where right is 0."""
    width = left.terms.shape[1]
    return Statistic(
        np.concatenate([left.terms, right.terms], axis=1),
        lambda sums: _ratio(left.value(sums[..., :width]), right.value(sums[..., width:])),
    )


def interval(statistic: Statistic, groups: NDArray[np.int64], how: Resampling) -> Interval | None:
    """The figure over all panels with its interval, or None.

    None: it is undefined for these panels, there is only one group, or it is undefined for more
    than a tenth of the resamples, so that its interval would be too short.
    groups: (P,), the group of each panel; groups are resampled as a whole.
    """
    members, index = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(members), statistic.terms.shape[1]))
    np.add.at(sums, index, statistic.terms)
    value = float(statistic.value(sums.sum(axis=0)))
    if not np.isfinite(value) or len(members) < 2:
        return None
    rng = np.random.default_rng(how.seed)
    share = np.full(len(members), 1.0 / len(members))
    drawn = rng.multinomial(len(members), share, size=how.resamples).astype(float)
    values = statistic.value(drawn @ sums)
    values = values[np.isfinite(values)]
    if len(values) < ENOUGH * how.resamples:
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _ratio(top: Array, bottom: Array) -> Array:
    defined = np.abs(bottom) > 1e-12
    quotient: Array = np.where(defined, top / np.where(defined, bottom, 1.0), np.nan)
    return quotient
