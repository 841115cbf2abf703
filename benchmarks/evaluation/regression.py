"""How much of a drawn pose is the requested one and how much is the reference's.

Knows angles in degrees, not pictures.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.bootstrap import Array, Statistic

_SUMS = 9
"""1, t, r, y, t t, t r, r r, t y, r y; for every coordinate."""


def turned(a: Array, b: Array) -> Array:
    """Smallest turn from b to a, degrees in [-180, 180)."""
    turn: Array = (a - b + 180.0) % 360.0 - 180.0
    return turn


def pose_weight(drawn: Array, target: Array, reference: Array, *, of: str) -> Statistic:
    """The weight of one of the two poses in the drawn one, by least squares.

    drawn, target, reference: (P, A) angles. An angle is used as its sine and its cosine, so that
    nothing jumps at 180 degrees. The model is y = a + w_target * t + w_reference * r, with an
    `a` for each of the 2 A coordinates, for what all poses have in common, and two weights for
    all coordinates together. A drawing that copies the reference's pose has
    w_reference 1 and w_target 0.
    of: "target" or "reference". The figure is nan if the poses are too similar to decide.
    """
    if of not in ("target", "reference"):
        raise ValueError(f"of: got {of!r}, allowed target, reference")
    t, r, y = (_on_circle(angles) for angles in (target, reference, drawn))
    one = np.ones_like(t)
    terms = np.stack([one, t, r, y, t * t, t * r, r * r, t * y, r * y], axis=2)

    def value(sums: Array) -> Array:
        return _weights(sums.reshape(*sums.shape[:-1], t.shape[1], _SUMS))[of == "reference"]

    return Statistic(terms.reshape(len(t), -1), value)


def _weights(sums: Array) -> tuple[Array, Array]:
    """Sums (..., coordinates, 9) -> the weights of target and reference, (...) each."""
    n, t, r, y, tt, tr, rr, ty, ry = np.moveaxis(sums, -1, 0)
    n = np.maximum(n, 1.0)

    def centred(product: Array, a: Array, b: Array) -> Array:
        total: Array = (product - a * b / n).sum(axis=-1)
        return total

    s_tt, s_tr, s_rr = centred(tt, t, t), centred(tr, t, r), centred(rr, r, r)
    s_ty, s_ry = centred(ty, t, y), centred(ry, r, y)
    determinant = s_tt * s_rr - s_tr * s_tr
    solvable = determinant > 1e-6 * np.maximum(s_tt * s_rr, 1e-12)
    safe = np.where(solvable, determinant, 1.0)
    return (
        np.where(solvable, (s_rr * s_ty - s_tr * s_ry) / safe, np.nan),
        np.where(solvable, (s_tt * s_ry - s_tr * s_ty) / safe, np.nan),
    )


def _on_circle(degrees: Array) -> Array:
    radians: NDArray[np.float64] = np.deg2rad(degrees)
    return np.concatenate([np.sin(radians), np.cos(radians)], axis=1)
