"""Which character is seen where: a confusion matrix between the characters of a panel.

Knows readings of pictures, not drawing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.bootstrap import Resampling, interval, mean
from benchmarks.several.casts import NAMED, Cast, seen_of
from lafi_tiny.stages.agreement import match
from lafi_tiny.stages.reader import Reader, Reading, columns
from lafi_tiny.training import from_pixels

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """Readings of every figure, (panels, characters), from left to right."""

    casts: tuple[Cast, ...]
    readings: tuple[tuple[Reading, ...], ...]


def read_figures(reader: Reader, casts: Sequence[Cast], panels: Pixels) -> Seen:
    """panels (N, 128, 128, 3) RGB: reads each character's column of the panel by itself."""
    count = len(casts[0].identities)
    shares = [reader.read(share) for share in columns(from_pixels(panels), count)]
    return Seen(tuple(casts), tuple(zip(*shares, strict=True)))


def confusion(seen: Seen, attributes: Sequence[str] | None = None) -> Matrix:
    """(panels, n, n): share of telling attributes in which figure i shows character j.

    attributes: count only these. A row adds up to at most 1, because no two characters of a panel
    share a telling attribute; the rest matches no character. nan if no attribute counts.
    """
    return np.stack(
        [_panel_matrix(*pair, attributes) for pair in zip(seen.casts, seen.readings, strict=True)]
    )


def figures(seen: Seen) -> dict[str, Any]:
    """The mean matrix, and own and others' shares with 95% intervals; JSON-ready.

    own, other       telling attributes of a figure that match its own character, or another one
    named_own, named_other  the same of the attributes that descriptions name
    identity         attributes that match the own reference, of all that can be seen
    action           figures that do what was asked for
    own_wins         figures that show more of their own character than of each other one
    """
    every, named = confusion(seen), confusion(seen, NAMED)
    pairs = list(zip(seen.casts, seen.readings, strict=True))
    return {
        "matrix": np.nanmean(every, axis=0).round(4).tolist(),
        "own": _with_interval(_own(every)),
        "other": _with_interval(_other(every)),
        "named_own": _with_interval(_own(named)),
        "named_other": _with_interval(_other(named)),
        "identity": _with_interval(np.array([_identity(*pair) for pair in pairs])),
        "action": _with_interval(np.array([_action(*pair) for pair in pairs])),
        "own_wins": _with_interval(_own_wins(every)),
    }


def _panel_matrix(
    cast: Cast, readings: Sequence[Reading], attributes: Sequence[str] | None
) -> Matrix:
    counted = [name for name in cast.telling if attributes is None or name in attributes]
    if not counted:
        return np.full((len(cast.identities),) * 2, np.nan)
    return np.array(
        [[match(reading, who, counted) for who in cast.identities] for reading in readings]
    )


def _own(matrices: Matrix) -> Matrix:
    """(panels,): mean of the diagonal."""
    diagonal: Matrix = np.diagonal(matrices, axis1=1, axis2=2).mean(axis=1)
    return diagonal


def _other(matrices: Matrix) -> Matrix:
    """(panels,): the share of a figure that matches the panel's other characters together."""
    whole: Matrix = matrices.sum(axis=2).mean(axis=1)
    return whole - _own(matrices)


def _own_wins(matrices: Matrix) -> Matrix:
    own = np.diagonal(matrices, axis1=1, axis2=2)
    others = matrices.copy()
    places = np.arange(matrices.shape[1])
    others[:, places, places] = -1.0
    wins: Matrix = (own > others.max(axis=2)).mean(axis=1)
    return wins


def _identity(cast: Cast, readings: Sequence[Reading]) -> float:
    pairs = zip(readings, cast.identities, strict=True)
    return float(np.mean([match(reading, who, seen_of(who)) for reading, who in pairs]))


def _action(cast: Cast, readings: Sequence[Reading]) -> float:
    pairs = zip(readings, cast.actions, strict=True)
    return float(np.mean([reading.action == action for reading, action in pairs]))


def _with_interval(values: Matrix) -> dict[str, float] | None:
    """Mean over panels, and its 95% interval by bootstrap over panels."""
    found = interval(mean(np.nan_to_num(values), ~np.isnan(values)), np.arange(len(values)), _HOW)
    if found is None:
        return None
    return {
        name: round(value, 4)
        for name, value in (("value", found.value), ("low", found.low), ("high", found.high))
    }


_HOW = Resampling()
