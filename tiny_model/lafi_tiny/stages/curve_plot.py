"""The curve of the denoiser's figures as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "what is asked for": ("action", "scene", "described_all", "described_two"),
    "what is seldom said": ("expression", "prop", "view"),
    "one character twice": ("twins", "strips", "strangers"),
}
"""Figures that are drawn into one plot, by its title."""


def plot_curve(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Every figure against pictures seen, with its 95% interval, as a PNG.

    rows: as `read_curve` gives them. Raises ValueError if there are none.
    """
    if not rows:
        raise ValueError("rows: got none, allowed: at least one")
    seen = [row["pictures"] / 1000 for row in rows]
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    for axes, (title, names) in zip(
        figure.subplots(1, 3, sharey=True), GROUPS.items(), strict=True
    ):
        for name in names:
            (line,) = axes.plot(seen, [row[name]["mean"] for row in rows], label=name)
            low, high = ([row[name][end] for row in rows] for end in ("low", "high"))
            axes.fill_between(seen, low, high, alpha=0.12, color=line.get_color(), linewidth=0)
        axes.set(title=title, xlabel="pictures seen, thousands", ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend(loc="best", frameon=False)
    figure.savefig(out, dpi=110)
