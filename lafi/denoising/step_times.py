"""How long a denoiser call takes, learnt from those that were made.

Knows megapixels and seconds only.
"""

import math

_FORGETTING = 0.98
"""Weight of a call against the next one: the last 50 count for most."""


class StepTimes:
    """Seconds of a call as a line over its megapixels, by least squares in which calls fade.

    One thread adds, others may read: what they see is at most one call old.
    """

    def __init__(self) -> None:
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        """Of weights, megapixels, seconds, megapixels squared, megapixels times seconds."""

    def add(self, megapixels: float, seconds: float) -> None:
        """A call over so many megapixels of panels took so long."""
        weight, x, y, xx, xy = (_FORGETTING * each for each in self._sums)
        x, xx = x + megapixels, xx + megapixels**2
        self._sums = (weight + 1.0, x, y + seconds, xx, xy + megapixels * seconds)

    def seconds(self, megapixels: float) -> float | None:
        """Of a call over so many megapixels; None before the first one."""
        weight, x, y, xx, xy = self._sums
        if not weight:
            return None
        spread = weight * xx - x * x
        slope = (weight * xy - x * y) / spread if spread > 1e-9 * weight * xx else math.inf
        base = (y - slope * x) / weight if math.isfinite(slope) else -1.0
        if slope < 0 or base < 0:
            # Too little spread to tell the two apart: as if all of it were by the pixel.
            return megapixels * y / x
        return base + slope * megapixels
