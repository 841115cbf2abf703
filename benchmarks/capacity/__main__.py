"""Pods, GPUs and cost of a load: measured times, a closed form, and a simulation beside both.

    python -m benchmarks.capacity out/repository [--price 1.0] [--gpus-per-pod 1]
    python -m benchmarks.capacity out/repository --times times.json     # of another machine

A real server is measured and drawn with at three small loads; the simulation, with the times of
the same run, must take as long within 20%. Right before and after each load a storyboard is drawn
alone, and the times are scaled by how much longer it took than right after they were measured: a
shared machine is not always as fast. Then
loads of up to 10,000 storyboards an hour are simulated with the chart's autoscaler. Exit status 1:
further off than that. About 8 minutes.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib import pyplot as plt
from rich.console import Console

from benchmarks.capacity import calibrate
from benchmarks.capacity.model import capacity
from benchmarks.capacity.simulation import Scaling, arrivals, simulate
from benchmarks.capacity.work import Load, Times
from benchmarks.faults.served import serve
from benchmarks.provenance import provenance
from lafi.drawing.pipeline import MAX_ROWS

RESULTS = Path("benchmarks/results")
PACKAGES = ("simpy", "scipy", "openvino", "nvidia-pytriton")
USUAL = Load(0, megapixels=calibrate.MEGAPIXELS)
"""What the curves are about; `per_hour` is filled in."""
HOURLY = (0, 30, 100, 300, 1_000, 3_000, 10_000)
CHART = Scaling(most=64)
SMALL_LOADS = (0.2, 0.4, 0.6)
"""Share of the time that the one server of the comparison draws."""
SMALL = Load(
    0, panels=3, megapixels=calibrate.MEGAPIXELS, stages=((8, 1.0),), characters=0, resent=0.0
)
STORYBOARDS = 12
OFF = 0.2
PAGE_PANELS = 20


def compare(url: str, times: Times) -> list[dict[str, Any]]:
    """The real server and the simulation, given the same arrivals."""
    rows = []
    each = capacity(replace(SMALL, per_hour=1.0), times).pod_seconds
    # Against itself, not against what the times say: what they get wrong must count.
    reference = calibrate.measure_pace(url, SMALL)
    paces = [reference]
    for share in SMALL_LOADS:
        load = replace(SMALL, per_hour=3600 * share / each * reference / paces[-1])
        coming = arrivals(load, 3600, seed=round(10 * share))[:STORYBOARDS]
        sent, seconds = calibrate.draw_load(url, load, coming)
        paces.append(calibrate.measure_pace(url, SMALL))
        slower = sum(paces[-2:]) / 2 / reference
        real = sum(seconds) / len(seconds)
        one = Scaling(least=1, most=1)
        found = simulate(load, times.scaled(slower), one, coming=sent, seconds=1.0)
        rows.append(
            {
                "share": share,
                "per_hour": load.per_hour,
                "slower_than_the_times": slower,
                "real_mean_s": real,
                "simulated_mean_s": found.mean,
                "ratio": found.mean / real,
            }
        )
    return rows


def sweep(times: Times, price: float, gpus: int) -> list[dict[str, Any]]:
    """Model and simulation of every hourly load."""
    rows = []
    for per_hour in HOURLY:
        load = replace(USUAL, per_hour=float(per_hour))
        model = capacity(load, times, price_per_pod_hour=price, gpus_per_pod=gpus)
        # The hour begins with one pod (none without load): the worst case for the autoscaler.
        scaling = replace(CHART, least=min(model.pods, 1))
        found = simulate(load, times, scaling, seconds=3600.0, seed=per_hour)
        rows.append(
            {
                "per_hour": per_hour,
                "model": asdict(model),
                "simulated": {
                    "storyboards": len(found.seconds),
                    "demand": found.busy / found.span,
                    "mean_pods": found.pods,
                    "most_pods": found.most_pods,
                    "median_s": found.quantile(0.5),
                    "p95_s": found.quantile(0.95),
                    "sent_away": found.refused,
                },
            }
        )
    return rows


def page(times: Times, price: float) -> list[dict[str, Any]]:
    """What a page of 20 panels costs, by its steps and stages, with a new and a known character."""
    ways = {
        "20 steps": ((20, 1.0),),
        "8 steps": ((8, 1.0),),
        "16 steps at half the side, then 16": ((16, 0.25), (16, 1.0)),
    }
    rows = []
    for name, stages in ways.items():
        for known in (0.0, 1.0):
            load = replace(USUAL, per_hour=1.0, panels=PAGE_PANELS, stages=stages, known=known)
            drawn = capacity(replace(load, resent=0.0), times).pod_seconds
            row = {"way": name, "character_known": bool(known), "pod_seconds": drawn}
            rows.append({**row, "cost": drawn / 3600 * price})
    again = {"way": "sent again", "character_known": True, "pod_seconds": times.resent}
    return [*rows, {**again, "cost": times.resent / 3600 * price}]


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Pods and seconds against storyboards an hour."""
    figure, pair = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    some = [row for row in rows if row["per_hour"]]
    hourly = [row["per_hour"] for row in some]
    pods, waits = pair
    pods.plot(hourly, [row["model"]["pods"] for row in some], marker="o", label="model")
    pods.plot(
        hourly, [row["simulated"]["mean_pods"] for row in some], marker="x", label="simulated, mean"
    )
    pods.plot(
        hourly,
        [row["simulated"]["demand"] for row in some],
        linestyle="--",
        label="simulated, always drawing",
    )
    pods.set(xlabel="storyboards an hour", ylabel="pods", xscale="log", yscale="log")
    for name, label in (("median_s", "median"), ("p95_s", "95%")):
        waits.plot(hourly, [row["simulated"][name] for row in some], marker="o", label=label)
    waits.set(xlabel="storyboards an hour", ylabel="seconds of a storyboard", xscale="log")
    for axes in pair:
        axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def measure(repository: Path, say: Console) -> tuple[Times, list[dict[str, Any]]]:
    """Times of a real server here, and how far the simulation is from it."""
    with tempfile.TemporaryDirectory(prefix="lafi-capacity-") as name:
        folder = Path(name)
        began = time.monotonic()
        with serve(repository, folder / "tmp", ("--store", str(folder / "store"))) as served:
            start = time.monotonic() - began
            say.print(f"a server starts in {start:.1f} s")
            times = calibrate.fitted(calibrate.measure_alone(served.url), max_rows=MAX_ROWS)
            times = replace(
                times,
                start=start,
                character=calibrate.measure_character(served.url),
                resent=calibrate.measure_resent(served.url),
            )
            say.print(times)
            return times, compare(served.url, times)


def main(
    repository: Annotated[Path, typer.Argument(help="What `lafi export` wrote.")],
    times: Annotated[Path | None, typer.Option(help="Times of another machine.")] = None,
    price: Annotated[float, typer.Option(min=0, help="Of a pod for an hour.")] = 1.0,
    gpus_per_pod: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option()] = RESULTS,
) -> None:
    """Measure, compare, simulate, and write capacity.json and its plot."""
    say = Console()
    if times is None:
        used, compared = measure(repository, say)
    else:
        used, compared = calibrate.read_times(times), []
    rows = sweep(used, price, gpus_per_pod)
    report = {
        **provenance(repository, "python -m benchmarks.capacity out/repository", PACKAGES),
        "times": asdict(used),
        "load": asdict(USUAL),
        "price_per_pod_hour": price,
        "against_a_real_server": compared,
        "loads": rows,
        "page_of_20_panels": page(used, price),
    }
    (out / "capacity.json").write_text(json.dumps(report, indent=1) + "\n")
    plot(rows, out / "capacity.png")
    for row in compared:
        say.print(
            f"load {row['share']}: real {row['real_mean_s']:.2f} s, simulated "
            f"{row['simulated_mean_s']:.2f} s, ratio {row['ratio']:.2f}"
        )
    if any(abs(row["ratio"] - 1) > OFF for row in compared):
        say.print(f"the simulation is more than {OFF:.0%} off")
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
