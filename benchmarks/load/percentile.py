"""Percentiles by nearest rank: always a sample, so the p99 of few samples is the largest."""

import math
from collections.abc import Sequence


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` percent of the samples do not exceed.

    The nearest-rank definition; with fewer than 100 samples the 99th percentile is the maximum.
    share: more than 0, at most 100. Raises ValueError for another one, and for no samples.
    """
    if not samples:
        raise ValueError("samples: got none, allowed 1 or more")
    if not 0 < share <= 100:
        raise ValueError(f"share: got {share}, allowed more than 0, at most 100")
    return sorted(samples)[max(1, math.ceil(len(samples) * share / 100)) - 1]
