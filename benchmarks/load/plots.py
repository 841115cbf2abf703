"""The plot of load.json: throughput and latency against arrival rate, first panels in a queue."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes


def draw_plot(document: Mapping[str, Any], path: Path) -> None:
    """Draws the parts that the document has."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    if "arrivals" in document:
        _throughput(axes[0], document["arrivals"]["rows"])
        _latency(axes[1], document["arrivals"]["rows"])
    if "queue" in document:
        _queue(axes[2], document["queue"]["rows"])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _throughput(axes: Axes, rows: list[dict[str, Any]]) -> None:
    for panels in dict.fromkeys(row["panels"] for row in rows):
        served = _served(rows, panels)
        rates = [row["loadgen"]["result_scheduled_samples_per_sec"] * panels for row in served]
        (line,) = axes.plot(
            rates, [row["panels_per_second"] for row in served], "o-", label=f"{panels} panels"
        )
        offline = next(
            row for row in rows if row["panels"] == panels and row["scenario"] == "Offline"
        )
        axes.axhline(
            offline["panels_per_second"],
            color=line.get_color(),
            linestyle=":",
            label=f"{panels} panels, Offline",
        )
        for rate, row in zip(rates, served, strict=True):
            if row["refused"]:
                axes.annotate(
                    f"{row['refused']} of {row['queries']} refused",
                    (rate, row["panels_per_second"]),
                    fontsize=8,
                )
    axes.set_xlabel("panels asked for per second")
    axes.set_ylabel("panels drawn per second")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _latency(axes: Axes, rows: list[dict[str, Any]]) -> None:
    for panels in dict.fromkeys(row["panels"] for row in rows):
        served = [row for row in _served(rows, panels) if row["drawn"]]
        shares = [row["share"] for row in served]
        for key, style in (("first_panel_p50", "o--"), ("first_panel_p99", "o-")):
            name = key.removeprefix("first_panel_")
            seconds = [row[key] for row in served]
            axes.plot(shares, seconds, style, label=f"first of {panels} panels, {name}")
        whole = [row["storyboard_p99"] for row in served]
        axes.plot(shares, whole, "s:", label=f"all of {panels} panels, p99")
    axes.set_xlabel("arrival rate / Offline throughput")
    axes.set_ylabel("seconds")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _queue(axes: Axes, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        (line,) = axes.plot(
            row["ahead"], row["first_panel_p99"], "o", label=f"{row['panels']} panels, p99"
        )
        ends = (0, max(row["ahead"]))
        fitted = [row["seconds_alone"] + row["seconds_per_storyboard"] * x for x in ends]
        axes.plot(ends, fitted, color=line.get_color())
        axes.plot(
            row["ahead"],
            [row["first_panel_p99"][0] * (ahead + 1) for ahead in row["ahead"]],
            ":",
            color=line.get_color(),
            label="in proportion",
        )
    axes.set_xlabel("storyboards ahead")
    axes.set_ylabel("seconds to the first panel")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _served(rows: list[dict[str, Any]], panels: int) -> list[dict[str, Any]]:
    return [row for row in rows if row["panels"] == panels and row["scenario"] == "Server"]
