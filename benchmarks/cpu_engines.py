"""Times one denoiser call in every CPU engine, to choose the default by measurement.

    python benchmarks/cpu_engines.py REPOSITORY CHECKPOINT [--threads 2] [--repeats 15]

Engines take turns, so that a busy machine slows all of them equally; figures are medians.
Writes `results/cpu_engines.json` and `.png` beside this file. The batch is that of four panels
with guidance and one reference: 9 rows, without injection and with `decoder`.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from rich.console import Console
from rich.table import Table

from lafi.board.injection import LayerPreset
from lafi.conditioning.routing import Reading, routing_ports
from lafi.engine.onnx.engines import load_denoiser
from lafi.engine.onnx.graph import Precision, RuntimeName, cpu_has_bf16
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.info import ModelInfo, load_model_info
from lafi.model.layers import injected_layers
from lafi.ports.engines import Denoiser, DenoiserBatch

RESULTS = Path(__file__).parent / "results"
PANELS = 4
INJECTIONS: tuple[LayerPreset, ...] = ("none", "decoder")


@dataclass(frozen=True, slots=True)
class Timing:
    """One engine on one batch: milliseconds per call, and its distance from torch in fp32."""

    engine: str
    injection: str
    wall_ms: float
    cpu_ms: float
    first_ms: float
    """CPU time of the first call of a shape, which is common, as panels come and go."""
    mean_error: float
    """Largest error, relative to the largest value."""


def storyboard_batch(
    info: ModelInfo, side: int, injection: LayerPreset, panels: int = PANELS
) -> DenoiserBatch:
    """Rows of `panels` in both branches, then one reference, which all of them read."""
    rows, size = 2 * panels + 1, (side // info.vae_scale, side // info.vae_scale)
    start = injected_layers(info, injection)
    panel = Reading(sources=(rows - 1,), regions=(torch.ones(size),), layers=start)
    routing = routing_ports([panel] * (rows - 1) + [Reading()], len(info.layers), size)
    generator = torch.Generator().manual_seed(0)
    return DenoiserBatch(
        {
            "latents": torch.randn(rows, info.latent_channels, *size, generator=generator),
            "timesteps": torch.full((rows,), 500.0),
            "text": torch.randn(rows, info.text_length, info.text_width, generator=generator),
            "mask": torch.ones(rows, *size),
            **routing,
        },
    )


def load_all(repository: Path, checkpoint: Path, threads: int) -> dict[str, Denoiser]:
    """Every engine that this machine can run, torch in f32 first."""
    torch.set_num_threads(threads)
    artifacts = repository / "artifacts"
    kinds: list[tuple[RuntimeName, Precision]] = [("onnxruntime", "f32"), ("openvino", "f32")]
    engines: dict[str, Denoiser] = {"torch f32": load_torch_engines(checkpoint).denoiser}
    engines["torch bf16"] = load_torch_engines(checkpoint, torch.bfloat16).denoiser
    if cpu_has_bf16():
        kinds.append(("openvino", "bf16"))
    for runtime, precision in kinds:
        name = f"{runtime} {precision}"
        engines[name] = load_denoiser(artifacts, runtime, precision, threads)
    return engines


def clock(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call, all threads of this process together."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(engines: dict[str, Denoiser], batch: DenoiserBatch, repeats: int) -> dict[str, Timing]:
    """All engines in turns; the first call of each is reported separately."""
    first = {name: clock(lambda engine=engine: engine(batch)) for name, engine in engines.items()}  # type: ignore[misc]
    expected = engines["torch f32"](batch)
    scale = float(expected.abs().max())
    errors = {
        name: float((engine(batch) - expected).abs().mean()) / scale
        for name, engine in engines.items()
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for _ in range(repeats):
        for name, engine in engines.items():
            times[name].append(clock(lambda engine=engine: engine(batch)))  # type: ignore[misc]
    return {
        name: Timing(
            engine=name,
            injection="",
            wall_ms=1000 * statistics.median(wall for wall, _ in taken),
            cpu_ms=1000 * statistics.median(cpu for _, cpu in taken),
            first_ms=1000 * first[name][1],
            mean_error=errors[name],
        )
        for name, taken in times.items()
    }


def show(timings: list[Timing], console: Console) -> None:
    """The table, with each engine's time as a share of torch's in f32."""
    table = Table(title=f"One denoiser call, {2 * PANELS + 1} rows, milliseconds")
    for column in ("engine", "injection", "wall", "CPU", "first", "of torch f32", "mean error"):
        table.add_column(column, justify="left" if column in ("engine", "injection") else "right")
    base = {t.injection: t.cpu_ms for t in timings if t.engine == "torch f32"}
    for t in sorted(timings, key=lambda t: (t.injection, t.cpu_ms)):
        share = f"{t.cpu_ms / base[t.injection]:.2f}"
        times = (f"{t.wall_ms:.0f}", f"{t.cpu_ms:.0f}", f"{t.first_ms:.0f}")
        table.add_row(t.engine, t.injection, *times, share, f"{t.mean_error:.1e}")
    console.print(table)


def plot(timings: list[Timing], path: Path) -> None:
    """Bars of CPU time, one group for each engine."""
    names = sorted({t.engine for t in timings})
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for place, injection in enumerate(INJECTIONS):
        heights = [
            next(t.cpu_ms for t in timings if (t.engine, t.injection) == (name, injection))
            for name in names
        ]
        positions = [i + 0.4 * place for i in range(len(names))]
        bars = axes.bar(positions, heights, width=0.38, label=f"injection {injection}")
        axes.bar_label(bars, fmt="%.0f")
    axes.set_xticks([i + 0.2 for i in range(len(names))], names)
    axes.set_ylabel("CPU milliseconds per call")
    axes.set_title(f"Denoiser on the CPU, {2 * PANELS + 1} rows")
    axes.legend()
    figure.savefig(path, dpi=120)


def cpu_name() -> str:
    """The CPU's name, if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("repository", type=Path, help="written by `lafi export`")
    parser.add_argument("checkpoint", type=Path, help="the diffusers folder it was made from")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--side", type=int, default=128, help="pixels")
    options = parser.parse_args()
    info = load_model_info(options.repository / "artifacts")
    engines = load_all(options.repository, options.checkpoint, options.threads)
    timings = []
    for injection in INJECTIONS:
        batch = storyboard_batch(info, options.side, injection)
        measured = measure(engines, batch, options.repeats)
        timings += [replace(timing, injection=injection) for timing in measured.values()]
    show(timings, Console())
    RESULTS.mkdir(exist_ok=True)
    document = {
        "cpu": cpu_name(),
        "threads": options.threads,
        "repeats": options.repeats,
        "side": options.side,
        "rows": 2 * PANELS + 1,
        "weights_sha256": info.weights_sha256,
        "timings": [
            {name: getattr(t, name) for name in Timing.__dataclass_fields__} for t in timings
        ],
    }
    text = json.dumps(document, indent=2) + "\n"
    (RESULTS / "cpu_engines.json").write_text(text, encoding="utf-8")
    plot(timings, RESULTS / "cpu_engines.png")


if __name__ == "__main__":
    main()
