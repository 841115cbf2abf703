"""Operations and bytes of reading a reference in SDXL and SD1.5, counted by shapes.

Knows numbers, not tensors: it runs on any machine. `python -m benchmarks.attention --count` prints
its tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
