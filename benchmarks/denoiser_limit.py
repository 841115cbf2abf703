"""How fast a denoiser call could be: counted operations, the machine's limit, and each engine.

    python -m benchmarks.denoiser_limit out/repository tiny_model/weights \\
        --also out/repository_bf16

Times one call of the UNet at 128 px, without the rest of a server: diffusers' UNet in torch f32,
and the exported ones with and without injection, all in turns. `floor_vs_plain` is how many times
as fast as plain diffusers a storyboard of eight panels could be drawn if only these calls took
time: 16 rows of torch against 17 of ours in 80% of the steps and 16 in the others.
"""

import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from diffusers import UNet2DConditionModel
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cpu_engines import storyboard_batch
from benchmarks.provenance import provenance
from lafi.engine.onnx.engines import load_denoiser
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.model.info import ModelInfo, load_model_info
from lafi.ports.engines import Denoiser, DenoiserBatch

RESULTS = Path("benchmarks/results")
PACKAGES = ("openvino", "torch", "diffusers")
SIDE, PANELS, INJECTED = 128, 8, 0.8
ROWS = 2 * PANELS
"""Rows of a storyboard's panels in both branches of guidance; one more with their reference."""
SIZES = (4, 8, ROWS, 2 * ROWS)
ROOF_SIDE = 2048
Call = Callable[[], object]


def first_rows(batch: DenoiserBatch, rows: int) -> DenoiserBatch:
    """A batch of `rows` rows; repeats rows if it has fewer."""
    index = torch.arange(rows) % len(batch["latents"])
    ports = {
        name: tensor[:, index] if name == "routes" else tensor[index]
        for name, tensor in batch.ports.items()
    }
    return replace(batch, ports=ports)


def torch_call(unet: UNet2DConditionModel, batch: DenoiserBatch) -> Call:
    """Diffusers' own UNet on the rows of a batch."""

    def call() -> None:
        with torch.inference_mode():
            unet(batch["latents"], batch["timesteps"], batch["text"])

    return call


def counted_operations(call: Call) -> float:
    """GFLOP of one call: torch counts products and convolutions; the rest is small."""
    with FlopCounterMode(display=False) as counter:
        call()
    operations: int = counter.get_total_flops()
    return operations / 1e9


def roof(dtype: torch.dtype, repeats: int = 15) -> float:
    """GFLOP/s of a large matrix product, which we take as this machine's limit."""
    a = torch.randn(ROOF_SIDE, ROOF_SIDE).to(dtype)
    seconds = [_seconds(lambda: a @ a) for _ in range(repeats)]
    return 2 * ROOF_SIDE**3 / min(seconds) / 1e9


def _seconds(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def our_calls(name: str, denoiser: Denoiser, info: ModelInfo) -> dict[str, Call]:
    """Plain calls of every size, and a call with a storyboard's rows, its reference and routes."""
    plain = storyboard_batch(info, SIDE, "none")
    calls: dict[str, Call] = {}
    for rows in SIZES:
        batch = first_rows(plain, rows)
        calls[f"{name}, {rows} rows"] = lambda batch=batch: denoiser(batch)  # type: ignore[misc]
    routed = storyboard_batch(info, SIDE, "decoder", PANELS)
    calls[f"{name}, {ROWS} rows and a reference"] = lambda: denoiser(routed)
    return calls


def measure(calls: Mapping[str, Call], repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each call, all in turns after two warm-up calls."""
    for call in [*calls.values(), *calls.values()]:
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            taken[name].append(1e3 * _seconds(call))
    return {
        name: {"least_ms": min(times), "median_ms": statistics.median(times)}
        for name, times in taken.items()
    }


def floor_vs_plain(found: Mapping[str, Mapping[str, float]], name: str, kind: str) -> float:
    """Calls of plain diffusers against ours, for one storyboard of PANELS panels."""
    routed = found[f"{name}, {ROWS} rows and a reference"][kind]
    plain = found[f"{name}, {ROWS} rows"][kind]
    return found["torch f32"][kind] / (INJECTED * routed + (1 - INJECTED) * plain)


def plot(document: Mapping[str, Any], path: Path) -> None:
    """Plot of milliseconds per call, and of the same operations at the machine's limit."""
    calls = document["calls"]
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    bars = axes.barh([*calls], [row["median_ms"] for row in calls.values()])
    axes.bar_label(bars, fmt=" %.0f")
    for (name, peak), style in zip(document["roof_gflops"].items(), (":", "--"), strict=True):
        label = f"{ROWS} rows at the roof of {name}"
        axes.axvline(1e3 * document["gflop"] / peak, linestyle=style, color="black", label=label)
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.legend(loc="lower right")
    axes.set_xlabel("milliseconds of a call, median")
    figure.savefig(path, dpi=110)


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    checkpoint: Annotated[Path, typer.Argument(help="the diffusers folder it was made from")],
    also: Annotated[Path | None, typer.Option(help="another export of it, such as bf16")] = None,
    repeats: int = 15,
    threads: int = 2,
    out: Annotated[Path, typer.Option(help="folder of the JSON and the plot")] = RESULTS,
) -> None:
    """Measure, print, write `denoiser_limit.json` and `.png`."""
    torch.set_num_threads(threads)
    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet", torch_dtype=torch.float32)
    names, calls = [], {}
    info = load_model_info(repository / "artifacts")
    rows = first_rows(storyboard_batch(info, SIDE, "none"), ROWS)
    calls["torch f32"] = torch_call(unet.eval(), rows)
    for folder in (repository, *([also] if also else [])):
        info = load_model_info(folder / "artifacts")
        runtime, precision = cast(RuntimeName, info.engine), cast(Precision, info.precision)
        names.append(f"{info.engine} {info.precision}")
        denoiser = load_denoiser(folder / "artifacts", runtime, precision, threads)
        calls |= our_calls(names[-1], denoiser, info)
    found = measure(calls, repeats)
    command = shlex.join(["python", "-m", "benchmarks.denoiser_limit", *sys.argv[1:]])
    document = {
        **provenance(repository, command, PACKAGES),
        "rows_of_torch": ROWS,
        "gflop": counted_operations(calls["torch f32"]),
        "roof_gflops": {"f32": roof(torch.float32), "bf16": roof(torch.bfloat16)},
        "calls": found,
        "floor_vs_plain": {
            name: {kind: floor_vs_plain(found, name, kind) for kind in ("least_ms", "median_ms")}
            for name in names
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "denoiser_limit.json").write_text(json.dumps(document, indent=2) + "\n")
    plot(document, out / "denoiser_limit.png")
    table = Table("call", "least ms", "median ms")
    for name, row in found.items():
        table.add_row(name, f"{row['least_ms']:.1f}", f"{row['median_ms']:.1f}")
    console = Console(highlight=False)
    console.print(table)
    kept = ("gflop", "roof_gflops", "floor_vs_plain")
    console.print_json(json.dumps({key: document[key] for key in kept}))


if __name__ == "__main__":
    typer.run(main)
