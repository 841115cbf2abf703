"""Plots of a comparison: identity against pose leakage, and a plot for every sweep.

Reads the JSON document of a comparison, nothing else.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"named": "#1f5fa8", "peer": "#c0392b", "sweep": "#9aa5b1"}
LABELS = {
    "named": "LAFI's presets, none, described",
    "peer": "other methods",
    "sweep": "sweeps of LAFI",
}
Entry = Mapping[str, Any]


def draw_plots(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `evaluate_pareto.png` and `evaluate_<sweep>.png`; returns the files.

    Without joint angles there is no pose leakage, and so no plot.
    """
    if "pose_leakage" not in document["methods"]["none"]:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "evaluate_pareto.png"]
    _pareto(document).savefig(files[0], dpi=120)
    for name, points in document["sweeps"].items():
        if len(points) > 1:
            slug = re.sub(r"[^a-z0-9]+", "_", name.lower())
            files.append(folder / f"evaluate_{slug}.png")
            _sweep(name, points, document).savefig(files[-1], dpi=120)
    return files


def on_the_front(methods: Mapping[str, Entry]) -> set[str]:
    """The Pareto front: no other method has both more identity and less pose leakage."""
    points = {
        name: (entry["identity"]["value"], entry["pose_leakage"]["value"])
        for name, entry in methods.items()
        if entry.get("pose_leakage") and entry.get("identity")
    }
    return {
        name
        for name, (identity, leakage) in points.items()
        if not any(i > identity and p < leakage for i, p in points.values())
    }


def _pareto(document: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(9.0, 6.2))
    axes = figure.add_subplot()
    methods, seen = document["methods"], set()
    front = on_the_front(methods)
    for name, entry in methods.items():
        if not entry.get("pose_leakage"):
            continue
        family = entry["family"]
        x, y = entry["pose_leakage"], entry["identity"]
        axes.errorbar(
            x["value"],
            y["value"],
            xerr=_ends(x),
            yerr=_ends(y),
            fmt="o" if name in front else "x",
            color=COLOURS[family],
            alpha=0.95 if family != "sweep" else 0.6,
            elinewidth=0.8,
            markersize=5,
            label=None if family in seen else LABELS[family],
        )
        seen.add(family)
        if family != "sweep" or name in front:
            axes.annotate(
                name,
                (x["value"], y["value"]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=7,
            )
    _floor_line(axes, document)
    axes.axvline(0.0, color="#bbbbbb", linewidth=0.8)
    axes.set_xlabel("pose leakage: weight of the reference's pose, minus that of `none`")
    axes.set_ylabel("identity: attributes that match the reference")
    axes.set_title("Identity against pose leakage (95% intervals; dot: no method beats it in both)")
    axes.legend(fontsize=8, loc="best")
    figure.tight_layout()
    return figure


def _sweep(name: str, points: Mapping[str, Entry], document: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(6.4, 4.2))
    left = figure.add_subplot()
    right = left.twinx()
    places = list(range(len(points)))
    for axes, measure, colour, label in (
        (left, "identity", "#1f5fa8", "identity"),
        (right, "pose_leakage", "#c0392b", "pose leakage"),
    ):
        found = [entry[measure] for entry in points.values()]
        known = [(place, x) for place, x in zip(places, found, strict=True) if x]
        values = [x["value"] for _, x in known]
        below = [x["value"] - x["low"] for _, x in known]
        above = [x["high"] - x["value"] for _, x in known]
        axes.errorbar(
            [place for place, _ in known],
            values,
            yerr=[below, above],
            fmt="o-",
            color=colour,
            markersize=4,
            linewidth=1.2,
            capsize=2,
        )
        axes.set_ylabel(label, color=colour)
    _floor_line(left, document)
    # An automatic range would make tiny differences look large.
    low, high = right.get_ylim()
    right.set_ylim(min(low, -0.1), max(high, 0.1))
    right.axhline(0.0, color="#e8b4ae", linewidth=0.8)
    left.set_xticks(places, list(points), rotation=20 if len(points) > 6 else 0, fontsize=8)
    left.set_xlabel(name)
    left.set_title(f"{name}: what it does to identity and to leakage", fontsize=10)
    figure.tight_layout()
    return figure


def _floor_line(axes: Axes, document: Mapping[str, Any]) -> None:
    floor = document["floor"].get("identity")
    if floor:
        axes.axhline(floor["value"], color="#2e8b57", linewidth=0.8, linestyle="--")
        axes.annotate(
            "real pictures", (0.01, floor["value"]), xycoords=("axes fraction", "data"), fontsize=7
        )


def _ends(found: Mapping[str, float]) -> list[list[float]]:
    return [[found["value"] - found["low"]], [found["high"] - found["value"]]]
