"""The cost of reading a reference in place: counted on any machine, measured on a GPU.

    python benchmarks/attention.py --count                 operations and bytes, on any machine
    python benchmarks/attention.py [--tune] [--repeats 50]  an NVIDIA GPU: numerics, time, memory

The second compares the fused kernel with `torch.cat` + SDPA (cuDNN and flash) and with plain SDPA,
which reads no reference, at the shapes of SDXL and SD1.5 with one reference and 8 and 16 panels,
and writes `results/attention.json` and `.png` beside this file. Without a GPU it exits with 2.
"""

import argparse
import json
import statistics
import sys
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

from lafi_kernels.reference import attention

RESULTS = Path(__file__).parent / "results"
BYTES = 2
FLOPS_PER_S = 790e12
BYTES_PER_S = 4.8e12
"""Rates of an H200: bf16 products from published measurements, memory from its data sheet."""


@dataclass(frozen=True, slots=True)
class LayerClass:
    """Self-attention layers of one size. injected: those of the preset `decoder`."""

    model: str
    tokens: int
    heads: int
    head_dim: int
    layers: int
    injected: int

    @property
    def name(self) -> str:
        return f"{self.model} {self.tokens} tokens, {self.heads} x {self.head_dim}"


SDXL = (LayerClass("SDXL", 4096, 10, 64, 10, 6), LayerClass("SDXL", 1024, 20, 64, 60, 30))
SD15 = (
    LayerClass("SD1.5", 4096, 8, 40, 5, 3),
    LayerClass("SD1.5", 1024, 8, 80, 5, 3),
    LayerClass("SD1.5", 256, 8, 160, 5, 3),
)


@dataclass(frozen=True, slots=True)
class Count:
    """One denoiser call in 16 bits: all layers of a class, or several classes summed.

    Bytes: `own` and `reference` are the keys and values of the injected layers, which exist in any
    case; `copied` is what torch.cat would read and write to join them; `touched` is q, k, v and o
    of all layers, each moved once. FLOPs: two for a product and sum; `plain` without references,
    `added` by the rows that read one.
    """

    name: str
    own: int
    reference: int
    copied: int
    touched: int
    plain: int
    added: int

    @property
    def compute_ms(self) -> float:
        """Time at the rate of the matrix units, without anything else."""
        return 1e3 * (self.plain + self.added) / FLOPS_PER_S

    @property
    def memory_ms(self) -> float:
        """Time at the rate of the memory, with every tensor moved once and no copies."""
        return 1e3 * self.touched / BYTES_PER_S

    @property
    def copy_ms(self) -> float:
        """Time that torch.cat would add at the rate of the memory."""
        return 1e3 * 2 * self.copied / BYTES_PER_S


def count(layer: LayerClass, panels: int, guidance: bool) -> Count:
    """One reference, read by every row of every panel, in the injected layers of a class."""
    readers = panels * (2 if guidance else 1)
    key_value = 2 * layer.tokens * layer.heads * layer.head_dim * BYTES
    products = 4 * layer.tokens**2 * layer.heads * layer.head_dim
    return Count(
        name=f"{layer.tokens} tokens, {layer.injected} of {layer.layers} layers",
        own=layer.injected * readers * key_value,
        reference=layer.injected * key_value,
        copied=layer.injected * readers * 2 * key_value,
        touched=layer.layers * (readers + 1) * 2 * key_value,
        plain=layer.layers * (readers + 1) * products,
        added=layer.injected * readers * products,
    )


def total(counts: Sequence[Count]) -> Count:
    """The sum over layer classes."""
    names = ("own", "reference", "copied", "touched", "plain", "added")
    return Count("all layers", **{n: sum(getattr(c, n) for c in counts) for n in names})


def count_table(panels: int = 8) -> str:
    """SDXL at 1024 px as a Markdown table."""
    lines = [
        "| rows | layers | own K, V | reference K, V | `torch.cat` would copy "
        "| FLOPs plain | added | compute, ms | memory, ms | copies, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for guidance in (False, True):
        counts = [count(layer, panels, guidance) for layer in SDXL]
        rows = f"{panels * (1 + guidance)} + 1"
        lines += [
            f"| {rows} | {c.name} | {_mb(c.own)} | {_mb(c.reference)} | {_mb(c.copied)} "
            f"| {c.plain / 1e12:.2f} T | {c.added / 1e12:.2f} T "
            f"| {c.compute_ms:.2f} | {c.memory_ms:.2f} | {c.copy_ms:.2f} |"
            for c in (*counts, total(counts))
        ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class BodyCount:
    """Bytes that the ONNX body for GPUs writes in one denoiser call, in 16 bits, in all layers.

    joined: keys and values of all rows and of the bank, put together. gathered: those of every slot
    of every row, its own included, read or not. mask: the logit offsets that `Attention` takes.
    """

    name: str
    joined: int
    gathered: int
    mask: int

    @property
    def copied(self) -> int:
        """What a kernel that reads in place does not write."""
        return self.joined + self.gathered + self.mask


def body_count(layer: LayerClass, panels: int, guidance: bool, slots: int = 1) -> BodyCount:
    """Every row may read `slots` references; the reference is a row, and the bank is empty."""
    rows = panels * (2 if guidance else 1) + 1
    key_value = 2 * rows * layer.tokens * layer.heads * layer.head_dim * BYTES
    return BodyCount(
        name=f"{layer.tokens} tokens, {layer.layers} layers",
        joined=layer.layers * key_value,
        gathered=layer.layers * (1 + slots) * key_value,
        mask=layer.layers * rows * layer.tokens * (1 + slots) * layer.tokens * BYTES,
    )


def body_table(panels: int = 8) -> str:
    """SDXL at 1024 px as a Markdown table. Times: all of it written and read once more."""
    lines = [
        "| rows | layers | joined | gathered | mask | all | ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for guidance in (False, True):
        counts = [body_count(layer, panels, guidance) for layer in SDXL]
        sums = (sum(getattr(c, part) for c in counts) for part in ("joined", "gathered", "mask"))
        lines += [
            f"| {panels * (1 + guidance)} + 1 | {c.name} | {_mb(c.joined)} | {_mb(c.gathered)} "
            f"| {_mb(c.mask)} | {_mb(c.copied)} | {1e3 * 2 * c.copied / BYTES_PER_S:.2f} |"
            for c in (*counts, BodyCount("all layers", *sums))
        ]
    return "\n".join(lines)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


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
    tensors, heads = make_tensors(layer, panels), layer.heads
    wide = [x.float() if x.is_floating_point() else x for x in tensors]
    routed = _on_cpu(wide, heads)
    alone = _on_cpu([*wide[:5], torch.full_like(wide[5], -1), *wide[6:]], heads)
    products = 4 * layer.tokens**2 * heads * layer.head_dim
    touched = 4 * tensors[0].numel() * BYTES
    found = []
    for name, way in ways(tensors, heads, tune).items():
        reads = not name.startswith("plain")
        seconds, extra, out = _time(way, tensors, heads, repeats)
        exact = routed if reads else alone
        compared = out[[panels, 0]].float().cpu()
        work = products * (panels + 1 + (panels if reads else 0))
        found.append(
            Measurement(
                shape=layer.name,
                panels=panels,
                way=name,
                milliseconds=1e3 * seconds,
                tflops_per_s=work / seconds / 1e12,
                gigabytes_per_s=touched / seconds / 1e9,
                extra_megabytes=extra / 1e6,
                error=float((compared - exact).abs().max() / exact.abs().max()),
            )
        )
    return found


def _on_cpu(wide: Sequence[Tensor], heads: int) -> Tensor:
    """The torch reference in fp32, for the first and the last row only."""
    first_and_last = [wide[0].shape[0] - 1, 0]
    chosen = [x[first_and_last] if len(x) else x for x in (y.cpu() for y in wide)]
    # Of these two rows the reference is now row 0.
    chosen[5] = torch.where(chosen[5] >= 0, torch.zeros_like(chosen[5]), chosen[5])
    op: Callable[..., Tensor] = attention
    return op(*chosen, heads)


def _time(way: Way, tensors: Tensors, heads: int, repeats: int) -> tuple[float, int, Tensor]:
    """Median seconds, peak bytes above the start, and the output."""
    for _ in range(3):
        out = way(tensors, heads)
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
