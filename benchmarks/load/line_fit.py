"""How a quantity grows: a fitted line, and how far the values bend away from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """y = intercept + slope * x by least squares; slope_error: its standard error.

    With two points the error is 0, since a line passes through both.
    """

    slope: float
    intercept: float
    slope_error: float

    def at(self, x: float) -> float:
        """The line's value at x."""
        return self.intercept + self.slope * x


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Raises ValueError unless there are two different x or more, and as many y."""
    across, up = _checked(x, y, 2)
    middle = across.mean()
    spread = float(((across - middle) ** 2).sum())
    slope = float(((across - middle) * (up - up.mean())).sum()) / spread
    intercept = float(up.mean() - slope * middle)
    rest = up - intercept - slope * across
    variance = float((rest**2).sum()) / max(1, len(across) - 2)
    return Line(slope, intercept, float(np.sqrt(variance / spread)))


def bend(x: Sequence[float], y: Sequence[float]) -> float:
    """How far y bends from a line over the range of x, as a share of its rise by the line.

    y = a + b x + c x^2 by least squares; the value is c (range of x)^2 / (line's rise). 0 is
    straight, 1 is a parabola that begins flat, below 0 grows more slowly than a line. Raises
    ValueError unless there are three different x or more, and a rise.
    """
    across, up = _checked(x, y, 3)
    line = fit_line(x, y)
    width = float(across.max() - across.min())
    if line.slope == 0:
        raise ValueError("y: got no rise, allowed one")
    # Scaled to 0 to 1, since powers of large numbers are ill-conditioned.
    curve = float(np.polyfit((across - across.min()) / width, up, 2)[0])
    return curve / (line.slope * width)


def worst_against_proportional(x: Sequence[float], y: Sequence[float]) -> float:
    """The largest y(x) / (y(0) (x + 1)), x > 0: at most 1 if each one ahead costs as much or less.

    x: how many are ahead. Raises ValueError unless 0 and other values are among them.
    """
    across, up = _checked(x, y, 2)
    if 0 not in across:
        raise ValueError(f"x: got {list(x)}, allowed with 0 among them")
    alone = float(up[across == 0].mean())
    others = across > 0
    return float((up[others] / (alone * (across[others] + 1))).max())


def _checked(x: Sequence[float], y: Sequence[float], least: int) -> tuple[Values, Values]:
    if len(x) != len(y):
        raise ValueError(f"y: got {len(y)} values, allowed {len(x)}, as many as x")
    if len(set(x)) < least:
        raise ValueError(f"x: got {len(set(x))} different values, allowed {least} or more")
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
