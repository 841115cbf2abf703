"""Panels per second of LAFI and of peers on the same checkpoint, and how cost grows.

    lafi export tiny_model/weights --out out/repository_bf16 --precision bf16
    python -m benchmarks.panels_per_second out/repository tiny_model/weights \\
        --fastest out/repository_bf16

All draw storyboards of 8 panels with one character each, 4 storyboards in flight; LAFI through the
server over gRPC. They take turns, and ratios are medians over the rounds. Peers draw in f32, as is
usual on a CPU; so the ratio of the fastest engine is reported separately.
"""

import json
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.provenance import provenance
from benchmarks.throughput.comparison import IN_PROCESS, Field, compare, ratio
from benchmarks.throughput.growth import growth
from benchmarks.throughput.workload import Workload
from lafi.model.info import load_model_info

RESULTS = Path("benchmarks/results")
PUBLISHED = "lafi decoder, published"
FASTEST = f"{PUBLISHED}, fastest engine"
PACKAGES = ("nvidia-pytriton", "openvino", "torch", "diffusers")
CONCAT, DIFFUSERS = "diffusers, reference per image", "diffusers plain"


def ratios(speeds: dict[str, list[float]]) -> dict[str, float]:
    """The project's main figures; without those of an engine that did not take part."""
    figures = {
        "ratio_vs_concat_fp32": ratio(speeds, PUBLISHED, CONCAT),
        "ratio_vs_plain_fp32": ratio(speeds, PUBLISHED, DIFFUSERS),
        "ratio_vs_story_fp32": ratio(speeds, PUBLISHED, "StoryDiffusion's manner"),
        "ratio_vs_tutorial_fp32": ratio(speeds, PUBLISHED, "Triton Server tutorial's manner"),
        "known_character_cost": ratio(
            speeds, "lafi none", "lafi decoder, fixed level, known characters"
        ),
        "published_cost": ratio(speeds, "lafi none", PUBLISHED),
        "server_vs_in_process": ratio(speeds, PUBLISHED, IN_PROCESS),
    }
    if FASTEST in speeds:
        figures |= {
            "ratio_vs_concat_fastest": ratio(speeds, FASTEST, CONCAT),
            "ratio_vs_plain_fastest": ratio(speeds, FASTEST, DIFFUSERS),
            "ratio_fastest_vs_fp32": ratio(speeds, FASTEST, PUBLISHED),
        }
    return figures


def distances(psnr: Sequence[float]) -> dict[str, float]:
    """PSNR of the fastest engine's panels against those of f32, in dB."""
    if not psnr:
        return {}
    return {
        "fastest_psnr_median": statistics.median(psnr),
        "fastest_psnr_worst": min(psnr),
        "fastest_psnr_panels": len(psnr),
    }


def check_same_model(repository: Path, fastest: Path) -> None:
    """Raises BadParameter unless both are exported from the same weights."""
    one, other = (load_model_info(folder / "artifacts") for folder in (repository, fastest))
    if one.weights_sha256 != other.weights_sha256:
        raise typer.BadParameter(
            f"--fastest: got weights {other.weights_sha256[:12]}, "
            f"allowed {one.weights_sha256[:12]}, those of {repository}"
        )


def plot(document: dict[str, Any], path: Path) -> None:
    """Bars of panels per second; lines of growth."""
    figure, (bars, lines) = plt.subplots(1, 2, figsize=(13, 4.5), layout="constrained")
    medians = {n: statistics.median(s) for n, s in document["panels_per_second"].items()}
    drawn = bars.barh([*medians], [*medians.values()])
    bars.bar_label(drawn, fmt=" %.2f")
    bars.margins(x=0.12)
    bars.invert_yaxis()
    bars.set_xlabel("panels per second, 4 storyboards of 8 panels in flight, median of the rounds")
    for name in dict.fromkeys(row["injection"] for row in document["growth"]["panels"]):
        rows = [row for row in document["growth"]["panels"] if row["injection"] == name]
        seconds = [1.0 / row["panels_per_second"] for row in rows]
        lines.plot([row["panels"] for row in rows], seconds, "o-", label=name)
    lines.set_xlabel("panels of one storyboard")
    lines.set_ylabel("seconds per panel")
    lines.set_ylim(bottom=0)
    lines.legend()
    figure.savefig(path, dpi=110)


def engine_name(repository: Path) -> str:
    """Runtime and precision of an export's server."""
    info = load_model_info(repository / "artifacts")
    return f"{info.engine} {info.precision}"


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    checkpoint: Annotated[Path, typer.Argument(help="the diffusers folder it was made from")],
    rounds: Annotated[int, typer.Option(help="of the comparison")] = 8,
    growth_rounds: Annotated[int, typer.Option(help="of the growth")] = 3,
    steps: Annotated[int, typer.Option(help="of every panel")] = 20,
    fastest: Annotated[
        Path | None, typer.Option(help="another export of it, with the fastest engine")
    ] = None,
    peer_storyboards: Annotated[
        int, typer.Option(help="storyboards that a peer draws in a round; ours are 4", min=1, max=4)
    ] = 1,
    max_rows: Annotated[
        int | None, typer.Option(help="rows of one denoiser call of ours; not of the growth")
    ] = None,
    name: Annotated[str, typer.Option(help="of the files, without their ending")] = "peers",
    out: Annotated[Path, typer.Option(help="folder of peers.json and peers.png")] = RESULTS,
) -> None:
    """Measure, print, write."""
    console = Console(highlight=False)
    torch.set_num_threads(2)
    if fastest is not None:
        check_same_model(repository, fastest)
    load = Workload(storyboards=4, panels=8, in_flight=4, steps=steps)
    began = time.perf_counter()
    field = Field(repository, checkpoint, fastest, peer_storyboards, max_rows)
    speeds, psnr = compare(field, load, rounds, console.print)
    compared = time.perf_counter()
    grown = growth(repository, steps, growth_rounds, console.print)
    ended = time.perf_counter()
    command = shlex.join(["python", "-m", "benchmarks.panels_per_second", *sys.argv[1:]])
    document: dict[str, Any] = {
        **ratios(speeds),
        **distances(psnr),
        "overhead_share": next(
            row["overhead_share"]
            for row in grown["panels"]
            if (row["injection"], row["panels"]) == ("published", 8)
        ),
        "panels_per_second": speeds,
        "growth": grown,
        "steps": steps,
        "rounds": rounds,
        "growth_rounds": growth_rounds,
        "peer_storyboards": peer_storyboards,
        "max_rows": max_rows,
        "seconds": {"comparison": compared - began, "growth": ended - compared},
        "fastest_engine": None if fastest is None else engine_name(fastest),
        **provenance(repository, command, PACKAGES),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    plot(document, out / f"{name}.png")
    table = Table("figure", "value")
    for figure, value in document.items():
        if isinstance(value, float):
            table.add_row(figure, f"{value:.3f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
