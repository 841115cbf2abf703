"""The cost of reading a reference in place: counted on any machine, measured on a GPU.

    python -m benchmarks.attention --count                operations and bytes, on any machine
    python -m benchmarks.attention [--tune] [--repeats 50]  an NVIDIA GPU: numerics, time, memory

The second compares the fused kernel with `torch.cat` + SDPA (cuDNN and flash) and with plain SDPA,
which reads no reference, at the shapes of SDXL and SD1.5 with one reference and 8 and 16 panels,
and writes `results/attention.json` and `.png` beside this file. Without a GPU it exits with 2.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.attention_count import BYTES, SD15, SDXL, LayerClass, body_table, count_table
from lafi_kernels.reference import attention

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One implementation at one shape. error: largest difference from fp32 / its maximum."""

    shape: str
    panels: int
    way: str
    milliseconds: float
    tflops_per_s: float
    gigabytes_per_s: float
    extra_megabytes: float
    error: float


Tensors = tuple[Tensor, ...]
Way = Callable[[Tensors, int], Tensor]


def make_tensors(layer: LayerClass, panels: int, device: str = "cuda") -> Tensors:
    """Rows 0 to panels - 1 read the last row, as in a batch without guidance."""
    shape = (panels + 1, layer.tokens, layer.heads * layer.head_dim)
    gen = torch.Generator(device).manual_seed(0)
    q, k, v = (torch.randn(shape, generator=gen, device=device).bfloat16() for _ in range(3))
    routes = torch.full((panels + 1, 1), panels, dtype=torch.int32, device=device)
    routes[-1] = -1
    ones = torch.ones(shape[:2], device=device)
    bias = torch.zeros(panels + 1, 1, device=device)
    return q, k, v, k[:0], v[:0], routes, bias, ones, ones[:0], ones[:, None]


def split(x: Tensor, heads: int) -> Tensor:
    """(B, S, heads * d) -> (B, heads, S, d), a view."""
    heads_first: Tensor = x.unflatten(2, (heads, -1)).transpose(1, 2)
    return heads_first


def plain(tensors: Tensors, heads: int) -> Tensor:
    """SDPA of every row over itself: the cost of the layer without injection."""
    q, k, v = (split(x, heads) for x in tensors[:3])
    out: Tensor = F.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(2)


def joined(tensors: Tensors, heads: int) -> Tensor:
    """Joins keys and values of the last row to those of every other row, then SDPA."""
    q, k, v = tensors[:3]
    keys, values = (torch.cat([x[:-1], x[-1:].expand_as(x[:-1])], dim=1) for x in (k, v))
    read = F.scaled_dot_product_attention(
        split(q[:-1], heads), split(keys, heads), split(values, heads)
    )
    alone = F.scaled_dot_product_attention(
        split(q[-1:], heads), split(k[-1:], heads), split(v[-1:], heads)
    )
    return torch.cat([read, alone]).transpose(1, 2).flatten(2)


def with_backend(way: Way, backend: SDPBackend) -> Way:
    """The same with SDPA limited to this backend."""

    def run(tensors: Tensors, heads: int) -> Tensor:
        with sdpa_kernel(backend):
            return way(tensors, heads)

    return run


def ways(tensors: Tensors, heads: int, tune: bool) -> dict[str, Way]:
    """All implementations by name. Loads Triton-lang here, so that counting does not need it."""
    from lafi_kernels.triton_lang import attention_triton_lang
    from lafi_kernels.tuning import fastest_tile

    tile = fastest_tile(*tensors, heads=heads) if tune else None
    kernel: Callable[..., Tensor] = partial(attention_triton_lang, tile=tile)
    flash, cudnn = SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION
    return {
        "fused": lambda t, h: kernel(*t, h),
        "cat + SDPA flash": with_backend(joined, flash),
        "cat + SDPA cuDNN": with_backend(joined, cudnn),
        "plain SDPA flash": with_backend(plain, flash),
        "plain SDPA cuDNN": with_backend(plain, cudnn),
    }


def measure(layer: LayerClass, panels: int, repeats: int, tune: bool) -> list[Measurement]:
    """Every implementation at one shape; medians of `repeats` calls after three warm-up calls."""
    tensors = make_tensors(layer, panels)
    exact = exact_rows(tensors, layer.heads)
    return [
        measure_way(name, way, layer, panels, tensors, exact[not name.startswith("plain")], repeats)
        for name, way in ways(tensors, layer.heads, tune).items()
    ]


def exact_rows(tensors: Tensors, heads: int) -> tuple[Tensor, Tensor]:
    """The last and the first row in fp32 by the reference, on the CPU: (nothing read, read)."""
    wide = [x.float() if x.is_floating_point() else x for x in tensors]
    alone = _on_cpu([*wide[:5], torch.full_like(wide[5], -1), *wide[6:]], heads)
    return alone, _on_cpu(wide, heads)


def measure_way(
    name: str,
    way: Way,
    layer: LayerClass,
    panels: int,
    tensors: Tensors,
    exact: Tensor,
    repeats: int,
) -> Measurement:
    """One implementation; its work is counted with references unless its name begins with plain.

    exact: the last and the first row of the result.
    """
    seconds, extra, out = time_way(way, tensors, layer.heads, repeats)
    readers = 0 if name.startswith("plain") else panels
    work = 4 * layer.tokens**2 * layer.heads * layer.head_dim * (panels + 1 + readers)
    compared = out[[panels, 0]].float().cpu()
    return Measurement(
        shape=layer.name,
        panels=panels,
        way=name,
        milliseconds=1e3 * seconds,
        tflops_per_s=work / seconds / 1e12,
        gigabytes_per_s=4 * tensors[0].numel() * BYTES / seconds / 1e9,
        extra_megabytes=extra / 1e6,
        error=float((compared - exact).abs().max() / exact.abs().max()),
    )


def _on_cpu(wide: Sequence[Tensor], heads: int) -> Tensor:
    """The torch reference in fp32, for the first and the last row only."""
    first_and_last = [wide[0].shape[0] - 1, 0]
    chosen = [x[first_and_last] if len(x) else x for x in (y.cpu() for y in wide)]
    # Of these two rows the reference is now row 0.
    chosen[5] = torch.where(chosen[5] >= 0, torch.zeros_like(chosen[5]), chosen[5])
    op: Callable[..., Tensor] = attention
    return op(*chosen, heads)


def time_way(
    way: Way, tensors: Tensors, heads: int, repeats: int, warm_up: int = 3
) -> tuple[float, int, Tensor]:
    """Median seconds, peak bytes above the start (0 on a CPU), and the output."""
    out = tensors[0]
    for _ in range(warm_up):
        out = way(tensors, heads)
    if out.device.type == "cpu":
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            out = way(tensors, heads)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds), 0, out
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    milliseconds = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        out = way(tensors, heads)
        end.record()
        end.synchronize()
        milliseconds.append(start.elapsed_time(end))
    extra = torch.cuda.max_memory_allocated() - before
    return statistics.median(milliseconds) / 1e3, extra, out


def show(found: Sequence[Measurement], console: Console) -> None:
    """The measurements as a table."""
    table = Table(title=torch.cuda.get_device_name())
    for column in ("shape", "panels", "way", "ms", "TFLOP/s", "GB/s", "extra MB", "error"):
        table.add_column(column)
    for m in found:
        table.add_row(
            m.shape, str(m.panels), m.way, f"{m.milliseconds:.3f}", f"{m.tflops_per_s:.0f}",
            f"{m.gigabytes_per_s:.0f}", f"{m.extra_megabytes:.0f}", f"{m.error:.1e}",
        )  # fmt: skip
    console.print(table)


def plot(found: Sequence[Measurement], file: Path) -> None:
    """A group of bars for each shape and number of panels."""
    shapes = list(dict.fromkeys((m.shape, m.panels) for m in found))
    figure, axes = plt.subplots(figsize=(11, 5))
    names = list(dict.fromkeys(m.way for m in found))
    for i, name in enumerate(names):
        times = [m.milliseconds for m in found if m.way == name]
        axes.bar([x + i / (len(names) + 1) for x in range(len(times))], times, 0.15, label=name)
    axes.set_xticks(
        range(len(shapes)), [f"{s}\n{p} panels" for s, p in shapes], rotation=30, ha="right"
    )
    axes.set_ylabel("ms per layer")
    axes.set_yscale("log")
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def main() -> None:
    """Count, or measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", action="store_true", help="print operations and bytes and stop")
    parser.add_argument("--tune", action="store_true", help="search the fastest tile of each shape")
    parser.add_argument("--repeats", type=int, default=50)
    arguments = parser.parse_args()
    if arguments.count:
        print(count_table(), body_table(), sep="\n\n")
        return
    if not torch.cuda.is_available():
        print("no CUDA device: nothing can be measured here; --count needs none", file=sys.stderr)
        raise SystemExit(2)
    found = []
    for layer in (*SDXL, *SD15):
        for panels in (8, 16):
            found += measure(layer, panels, arguments.repeats, arguments.tune)
    show(found, Console())
    content = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "tuned": arguments.tune,
        "measurements": [asdict(m) for m in found],
    }
    (RESULTS / "attention.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    plot(found, RESULTS / "attention.png")


if __name__ == "__main__":
    main()
