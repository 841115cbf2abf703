"""A probe's report as a picture: one bar for each self-attention, one row for each effect."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from lafi.model.probe_report import ProbeReport

_ROWS = (
    ("position", "positions disturbed:\nPSNR, dB"),
    ("content", "content disturbed:\nPSNR, dB"),
    ("layout", "read here alone:\nlayout gained"),
    ("texture", "read here alone:\ntexture gained"),
)


def plot(report: ProbeReport, path: Path) -> None:
    """Write a PNG. Sites of the preset `texture` are dark, if the probe is finished."""
    chosen = set(report.presets()["texture"]) if report.finished else set()
    places = range(len(report.sites))
    colours = ["#27496d" if place in chosen else "#a9c3dd" for place in places]
    wide = max(6.0, 0.28 * len(report.sites) + 2.0)
    figure, rows = pyplot.subplots(len(_ROWS), 1, figsize=(wide, 7.5), sharex=True)
    for axes, (name, label) in zip(rows, _ROWS, strict=True):
        axes.bar(places, [getattr(site, name) for site in report.sites], color=colours)
        axes.set_ylabel(label, fontsize=8)
        axes.axhline(0.0, color="black", linewidth=0.5)
    rows[-1].set_xticks(places, [site.block for site in report.sites], rotation=90, fontsize=7)
    rows[-1].set_xlabel("self-attention, in forward order; dark: the preset texture")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
