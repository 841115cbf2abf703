"""Computes figures with intervals from panels: for each method, the floor, and the gain of `all`.

Knows panels and readings, not drawing.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.evaluation.bootstrap import (
    Interval,
    Resampling,
    Statistic,
    difference,
    interval,
    ratio,
)
from benchmarks.evaluation.measures import Panels, statistics

Figures = dict[str, Interval | None]
"""Name of a measure -> its figure; None if undefined for these panels."""


def method_figures(panels: Panels, none: Panels, everywhere: Panels, how: Resampling) -> Figures:
    """All measures of a method, and its differences to `none` and `all` on the same panels.

    identity_gain      identity minus that of `none`
    pose_leakage       weight of the reference's pose minus that of `none`
    share_of_gain      identity_gain as a share of that of `all`
    share_of_leakage   pose_leakage as a share of that of `all`
    none, everywhere: panels of `none` and `all`; only those of this method's pairs count.
    """
    count = len(panels.pairs)
    own, plain, full = (statistics(p) for p in (panels, none.first(count), everywhere.first(count)))
    found = dict(own)
    compared = {"identity_gain": "identity", "pose_leakage": "pose_weight"}
    shares = {"identity_gain": "share_of_gain", "pose_leakage": "share_of_leakage"}
    for name, measure in compared.items():
        if measure in own:
            found[name] = difference(own[measure], plain[measure])
            of_all = difference(full[measure], plain[measure])
            found[shares[name]] = ratio(found[name], of_all)
    return _intervals(found, panels, how)


def floor_figures(panels: Panels, how: Resampling) -> Figures:
    """The same measures for real pictures of the targets, or for the pasted reference.

    Here pose_leakage is the weight itself, because nothing was drawn.
    """
    found = statistics(panels)
    if "pose_weight" in found:
        found["pose_leakage"] = found["pose_weight"]
    return _intervals(found, panels, how)


def as_json(figures: Mapping[str, Interval | None]) -> dict[str, Any]:
    """Names with attributes below `attributes`; intervals as value, low, high."""
    plain = {name: None if x is None else asdict(x) for name, x in figures.items()}
    prefix = "attribute."
    found: dict[str, Any] = {k: v for k, v in plain.items() if not k.startswith(prefix)}
    found["attributes"] = {
        k.removeprefix(prefix): v for k, v in plain.items() if k.startswith(prefix)
    }
    return found


def _intervals(found: Mapping[str, Statistic], panels: Panels, how: Resampling) -> Figures:
    return {name: interval(x, panels.groups, how) for name, x in found.items()}
