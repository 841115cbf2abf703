"""LAFI beside the pipelines a CPU user would pick: optimum-intel, openvino-genai and diffusers.

    bash scripts/setup_peers.sh
    .venv-peers/bin/optimum-cli export openvino --model tiny_model/weights --task text-to-image \\
        --weight-format fp32 out/openvino
    python -m benchmarks.openvino_peers tiny_model/weights out/repository out/repository_bf16 \\
        out/openvino

All draw the same storyboards with DDIM, on the same threads; LAFI
through its server over gRPC, without injection, as published, and with characters
that it knows already. They take turns, there and back; at SD1.5's size each is started for its turn
and ended after it, since their memory together is more than a machine has. What is found goes into
`peers.json`, for SD1.5 under `sd15`.
"""

import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any, get_args

import psutil
import torch
import typer
from diffusers import UNet2DConditionModel
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.denoiser_limit import roof
from benchmarks.peers.worker import peak_bytes
from benchmarks.peers.worker_process import Kind, WorkerProcess
from benchmarks.provenance import provenance
from benchmarks.throughput.ours import draw_over_grpc
from benchmarks.throughput.workload import KEPT, PLAIN, PUBLISHED, Workload, prompts, storyboards
from lafi.board.injection import Injection
from lafi.board.storyboard import Storyboard
from lafi.engine.onnx.graph import Precision
from lafi.server.cores import usable_cores
from lafi.server.supervisor import Supervisor

RESULTS = Path("benchmarks/results/peers.json")
PACKAGES = ("nvidia-pytriton", "openvino", "torch", "diffusers")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
INJECTIONS = {"none": PLAIN, "published": PUBLISHED, "known": KEPT}
WARM = Workload(1, 2, 1, 2)

Speed = Callable[[Sequence[Storyboard]], float]
"""Draws storyboards: seconds."""


@dataclass(frozen=True, slots=True)
class Running:
    """A contestant that runs: ways to draw by name, and its peak memory so far in bytes."""

    ways: Mapping[str, tuple[Injection, Speed]]
    peak_bytes: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Contestant:
    """start: runs it for as long as the context lasts."""

    name: str
    start: Callable[[], AbstractContextManager[Running]]


@contextmanager
def ours(repository: Path, name: str, in_flight: int) -> Iterator[Running]:
    """LAFI's server, and all processes that it starts."""
    with Supervisor(repository) as server:

        def draw(boards: Sequence[Storyboard]) -> float:
            return draw_over_grpc(server, boards, in_flight).seconds

        def peak() -> int:
            main = psutil.Process(server.pid)
            return sum(peak_bytes(each.pid) for each in (main, *main.children(recursive=True)))

        ways = {f"{name}, {how}": (injection, draw) for how, injection in INJECTIONS.items()}
        yield Running(ways, peak)


@contextmanager
def peer(
    python: Path, kind: Kind, folder: Path, precision: str, name: str, log: IO[str]
) -> Iterator[Running]:
    """Another's pipeline, one storyboard at a time, its panels as one batch."""
    peak = 0
    with WorkerProcess(python, kind, folder, precision, round(usable_cores()), log) as worker:

        def draw(boards: Sequence[Storyboard]) -> float:
            nonlocal peak
            seconds = 0.0
            for board in boards:
                stage, seeds = board.sampling.stages[0], [panel.seed for panel in board.panels]
                done = worker.draw(prompts(board), seeds, board.width, stage.steps, stage.guidance)
                seconds, peak = seconds + done.seconds, done.peak_bytes
            return seconds

        yield Running({name: (PLAIN, draw)}, lambda: peak)


def warm_up(running: Running, load: Workload, known: Sequence[Storyboard]) -> None:
    """Every way to draw has drawn once, and the known characters are known."""
    for injection, draw in running.ways.values():
        draw(storyboards(replace(WARM, side=load.side), injection))
        if injection == KEPT:
            draw(known)


def take_turn(
    running: Running, load: Workload, number: int, known: Sequence[Storyboard]
) -> dict[str, float]:
    """Panels per second of each of its ways, with new characters but where they are known."""
    speeds = {}
    for name, (injection, draw) in running.ways.items():
        fresh = storyboards(load, injection, number * load.storyboards)
        speeds[name] = load.total / draw(known if injection == KEPT else fresh)
    return speeds


def measure(
    field: Sequence[Contestant],
    load: Workload,
    rounds: int,
    together: bool,
    tell: Callable[[str], None],
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Panels per second of each way in each round, there and back, and peak bytes.

    together: all run all the time, so that turns lie close to each other; else each is started for
    its turn, so that none holds memory that another needs.
    """
    speeds: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}
    known = storyboards(load, KEPT)
    with ExitStack() as running:
        kept: dict[str, Running] = {}
        for number in range(1, rounds + 1):
            for contestant in field if number % 2 else reversed(field):
                with ExitStack() as own:
                    if contestant.name not in kept:
                        context = running if together else own
                        started = context.enter_context(contestant.start())
                        warm_up(started, load, known)
                        if together:
                            kept[contestant.name] = started
                    started = kept.get(contestant.name, started)
                    for name, speed in take_turn(started, load, number, known).items():
                        speeds.setdefault(name, []).append(speed)
                        peaks[name] = max(peaks.get(name, 0), started.peak_bytes())
                        tell(f"round {number}: {name} {speed:.3f} panels a second")
    return speeds, peaks


def ratios(speeds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Medians over the rounds of one's panels per second divided by another's."""
    pairs = {
        "ratio_vs_optimum_f32": ("lafi f32, none", "optimum f32"),
        "ratio_vs_optimum_bf16": ("lafi bf16, none", "optimum bf16"),
        "ratio_vs_genai_f32": ("lafi f32, none", "genai f32"),
        "ratio_vs_genai_bf16": ("lafi bf16, none", "genai bf16"),
        "ratio_vs_diffusers_f32": ("lafi f32, none", "diffusers f32"),
        "ratio_vs_diffusers_bf16": ("lafi bf16, none", "diffusers bf16"),
        "published_vs_optimum_bf16": ("lafi bf16, published", "optimum bf16"),
        "known_vs_optimum_f32": ("lafi f32, known", "optimum f32"),
        "known_vs_optimum_bf16": ("lafi bf16, known", "optimum bf16"),
        "known_vs_genai_bf16": ("lafi bf16, known", "genai bf16"),
    }
    return {
        key: statistics.median(a / b for a, b in zip(speeds[one], speeds[other], strict=True))
        for key, (one, other) in pairs.items()
    }


def gflop_of_a_row(checkpoint: Path, side: int) -> float:
    """Of one row of a denoiser call, products and convolutions counted without computing them."""
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(
            UNet2DConditionModel.load_config(checkpoint / "unet")
        )
        vae = json.loads((checkpoint / "vae/config.json").read_text(encoding="utf-8"))
        size = 2 ** (len(vae["block_out_channels"]) - 1)
        latents = torch.empty(1, unet.config.in_channels, side // size, side // size)
        text = torch.empty(1, 77, unet.config.cross_attention_dim)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            unet(latents, torch.empty(1), text)
    return float(counter.get_total_flops()) / 1e9


def rows(
    speeds: Mapping[str, Sequence[float]], peaks: Mapping[str, int], gflop_of_a_panel: float
) -> dict[str, Any]:
    """By the name of a way to draw: its figures. Roofs are measured here, after all drawing."""
    roofs = {"f32": roof(torch.float32), "bf16": roof(torch.bfloat16)}
    return {
        name: {
            "panels_per_second": list(found),
            "most": max(found),
            "median": statistics.median(found),
            "share_of_roof": max(found)
            * gflop_of_a_panel
            / roofs["bf16" if "bf16" in name else "f32"],
            "peak_gib": peaks[name] / 2**30,
        }
        for name, found in speeds.items()
    } | {"roof_gflops": roofs}


def contestants(
    checkpoint: Path,
    repositories: Mapping[str, Path],
    openvino: Path,
    python: Path,
    in_flight: int,
    log: IO[str],
) -> list[Contestant]:
    """LAFI and the others, in each precision."""
    found = []
    for precision in PRECISIONS:
        name = f"lafi {precision}"
        start = partial(ours, repositories[precision], name, in_flight)
        found.append(Contestant(name, start))
        runs: list[tuple[Kind, Path, Path]] = [
            ("optimum", openvino, python),
            ("genai", openvino, python),
            ("diffusers", checkpoint, Path(sys.executable)),
        ]
        for kind, folder, interpreter in runs:
            name = f"{kind} {precision}"
            start = partial(peer, interpreter, kind, folder, precision, name, log)
            found.append(Contestant(name, start))
    return found


def merged(document: Mapping[str, Any], sd15: bool) -> None:
    """Into `peers.json`, whose other figures stay."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if sd15:
        kept["sd15"] = document
    else:
        kept |= {key: value for key, value in document.items() if "_vs_" in key}
        kept["openvino_peers"] = document
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def main(
    checkpoint: Annotated[Path, typer.Argument(help="a diffusers folder")],
    f32: Annotated[Path, typer.Argument(help="its export")],
    bf16: Annotated[Path, typer.Argument(help="its export in bf16")],
    openvino: Annotated[Path, typer.Argument(help="what optimum-cli made of it")],
    python: Annotated[Path, typer.Option(help="of the others")] = Path(".venv-peers/bin/python"),
    storyboards_in_flight: Annotated[int, typer.Option(help="ours; others draw one", min=1)] = 4,
    panels: int = 8,
    steps: int = 12,
    side: int = 128,
    rounds: int = 4,
    sd15: Annotated[bool, typer.Option(help="it is SD1.5 at its real size")] = False,
) -> None:
    """Measure in turns and write."""
    console = Console(highlight=False)
    load = Workload(storyboards_in_flight, panels, storyboards_in_flight, steps, side=side)
    with tempfile.NamedTemporaryFile("w", prefix="peers-", suffix=".log", delete=False) as log:
        field = contestants(
            checkpoint, {"f32": f32, "bf16": bf16}, openvino, python, load.in_flight, log
        )
        speeds, peaks = measure(field, load, rounds, not sd15, console.print)
    command = shlex.join(["python", "-m", "benchmarks.openvino_peers", *sys.argv[1:]])
    document: dict[str, Any] = {
        **ratios(speeds),
        "speeds": rows(speeds, peaks, 2 * steps * gflop_of_a_row(checkpoint, side)),
        "load": asdict(load),
        "rounds": rounds,
        **provenance(f32, command, PACKAGES),
    }
    merged(document, sd15)
    console.print_json(json.dumps({k: v for k, v in document.items() if "_vs_" in k}))


if __name__ == "__main__":
    typer.run(main)
