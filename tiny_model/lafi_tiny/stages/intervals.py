"""Shares and means with 95% intervals."""

import math
from collections.abc import Sequence

import numpy as np


def share_interval(hits: Sequence[bool]) -> dict[str, float]:
    """Share of hits with Wilson's 95% interval."""
    count = len(hits)
    if not count:
        raise ValueError("hits: got none, allowed: at least one")
    share, z = sum(hits) / count, 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z
        / (1 + z * z / count)
        * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    )
    return {"mean": share, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}


def mean_interval(values: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Mean with a bootstrap 95% interval; the values are those of independent pictures."""
    if not values:
        raise ValueError("values: got none, allowed: at least one")
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    picked = array[rng.integers(len(array), size=(2000, len(array)))].mean(axis=1)
    low, high = np.quantile(picked, [0.025, 0.975])
    return {"mean": float(array.mean()), "low": float(low), "high": float(high)}
