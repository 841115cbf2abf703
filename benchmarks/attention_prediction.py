# mypy: disable-error-code="import-untyped"
"""What the compiled attention kernel costs on a GPU, and how fast it should be: before it runs.

    python -m benchmarks.attention_prediction      writes results/attention_prediction.json

Counts the machine code of the fixed tiles for sm_90a and sm_100a (`attention_sass.py`), sets it
beside what one multiprocessor does in a cycle, and predicts the time of one layer: 16 rows with
4096 queries that read 8192 keys each, half of them their own. Nothing here was measured on a GPU.

For a turn of a loop the cycles that each unit is busy, and two times: `best`, the largest of them,
as if all units worked at the same time, and `in_turn`, matrix units and instructions one after the
other. Published kernels of this kind come near the second, so `expected` is `in_turn` divided by
the share of its rate that one of them reaches.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
import triton

from benchmarks.attention_sass import MATRIX, Loop, disassemble, matrix_loops
from lafi_kernels.ptx import Resources, compile_attention, resources
from lafi_kernels.tiles import HEAD_DIMS, Tile, fixed_tile, split_head

RESULTS: Final = Path(__file__).parent / "results" / "attention_prediction.json"
ROWS: Final = 16
HEADS: Final = 10
QUERIES: Final = 4096
WARP_GROUP: Final = 4
SCHEDULERS: Final = 4
"""Parts of a multiprocessor; each issues one instruction of a warp in a cycle."""
SPECIAL: Final = 4
"""Exponentials that a scheduler's unit gives in a cycle: 16 a multiprocessor, on both GPUs."""
SHARED: Final = 128
"""Bytes a cycle to and from a multiprocessor's shared memory, on both GPUs."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """flops_per_s, bytes_per_s: dense bf16 and memory, from the data sheet.

    flops_per_cycle: of a multiprocessor. The clock follows from these; it is lower under load.
    """

    name: str
    capability: int
    multiprocessors: int
    flops_per_cycle: int
    flops_per_s: float
    bytes_per_s: float
    l2_bytes_per_cycle: int = 64
    registers: int = 65_536
    shared_bytes: int = 233_472
    tensor_memory: int = 512

    @property
    def cycles_per_s(self) -> float:
        return self.flops_per_s / (self.multiprocessors * self.flops_per_cycle)


GPUS: Final = (
    Gpu("H200", 90, 132, 4096, 989e12, 4.8e12),
    Gpu("B200", 100, 148, 8192, 2250e12, 8.0e12),
)
PUBLISHED: Final = 400e12
"""FLOP/s of a Triton-lang kernel without references at 4096 tokens and heads of 64 on this kind of
GPU, as published; not measured here."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a loop of one block: a tile of queries by a tile of keys. Cycles of each unit.

    instructions, matrix: of a warp. flops: of the tile without padding. issue, special: of a
    scheduler. shared: operands read from shared memory and tiles written to it.
    """

    instructions: int
    matrix: int
    flops: int
    tensor_cycles: float
    issue_cycles: float
    special_cycles: float
    shared_cycles: float
    l2_cycles: float

    @property
    def best(self) -> float:
        return max(
            self.tensor_cycles,
            self.issue_cycles,
            self.special_cycles,
            self.shared_cycles,
            self.l2_cycles,
        )

    @property
    def in_turn(self) -> float:
        return self.tensor_cycles + max(self.issue_cycles, self.special_cycles)

    @property
    def limit(self) -> str:
        """The unit that is busy longest."""
        units = {
            "tensor cores": self.tensor_cycles,
            "instructions": self.issue_cycles,
            "exponentials": self.special_cycles,
            "shared memory": self.shared_cycles,
            "L2": self.l2_cycles,
        }
        return max(units, key=lambda unit: units[unit])


@dataclass(frozen=True, slots=True)
class Kernel:
    """A compiled kernel on one GPU: own and reading are turns of its two loops."""

    gpu: Gpu
    used: Resources
    own: Turn
    reading: Turn
    blocks: Mapping[str, int]

    @property
    def resident(self) -> int:
        """Blocks that a multiprocessor holds at a time."""
        return min(self.blocks.values())

    @property
    def holds_back(self) -> str:
        """What allows no more blocks."""
        return min(self.blocks, key=lambda what: self.blocks[what])


def kernel(gpu: Gpu, head_dim: int) -> Kernel:
    """Compiles the fixed tile in bf16 and counts it. Raises ValueError if a loop is not found."""
    tile = fixed_tile(gpu.capability, head_dim, 2)
    made = compile_attention(gpu.capability, HEADS, head_dim, torch.bfloat16, tile=tile)
    used = resources(made, gpu.capability, head_dim, torch.bfloat16, tile)
    loops = matrix_loops(disassemble(made.cubin))
    if len(loops) < 2:
        raise ValueError(f"loops: got {len(loops)} that multiply, allowed 2 or more")
    threads = 32 * tile.warps
    allocated = 8 * math.ceil(used.registers / 8) * threads
    blocks = {
        "registers": gpu.registers // allocated,
        # The system keeps 1 KiB of each block.
        "shared memory": gpu.shared_bytes // (used.shared_bytes + 1024),
        "threads": 2048 // threads,
    }
    if made.tensor_memory:
        blocks["tensor memory"] = gpu.tensor_memory // made.tensor_memory
    # The first loop reads whole tiles of a row's own tokens, the last one those of references.
    own, reading = (turn(gpu, tile, head_dim, loop) for loop in (loops[0], loops[-1]))
    return Kernel(gpu, used, own, reading, blocks)


def turn(gpu: Gpu, tile: Tile, head_dim: int, loop: Loop) -> Turn:
    """The cycles of one turn."""
    warps = tile.warps / SCHEDULERS
    width = sum(split_head(head_dim))
    padded = 4 * tile.queries * tile.keys * width
    special = loop.count("MUFU")
    tokens = 2 * tile.keys * head_dim * 2
    return Turn(
        instructions=loop.issued,
        matrix=loop.count(*MATRIX),
        flops=4 * tile.queries * tile.keys * head_dim,
        tensor_cycles=padded / gpu.flops_per_cycle,
        issue_cycles=loop.issued * warps,
        special_cycles=special * warps * 32 / SPECIAL,
        shared_cycles=(operands(gpu, tile, width) + tokens) / SHARED,
        l2_cycles=tokens / gpu.l2_bytes_per_cycle,
    )


def operands(gpu: Gpu, tile: Tile, width: int) -> int:
    """Bytes that the matrix instructions of a turn read from shared memory, in 16 bits.

    Queries and keys for the scores, values for the sum; shares stay in registers or tensor memory.
    On sm_90 a warp group takes 64 queries at a time and reads keys and values for each 64 again.
    """
    times = math.ceil(tile.queries / 64) if gpu.capability < 100 else math.ceil(tile.queries / 128)
    return 2 * width * (tile.queries + 2 * tile.keys * times)


def predict(found: Kernel, reached: float, tokens: int = QUERIES, read: int = QUERIES) -> Any:
    """Milliseconds and TFLOP/s of a layer whose rows read `read` tokens beside their own.

    reached: the share of `in_turn` that is expected.
    """
    gpu, tile = found.gpu, found.used
    blocks = ROWS * HEADS * math.ceil(tokens / tile.queries)
    at_once = gpu.multiprocessors * found.resident
    # The last wave is not full.
    waves = math.ceil(blocks / at_once) * at_once / gpu.multiprocessors
    own, reading = tokens / tile.keys, read / tile.keys
    flops = 4 * ROWS * HEADS * tokens * (tokens + read) * tile.head_dim
    moved = 2 * HEADS * tile.head_dim * (4 * ROWS * tokens + 2 * read)

    def seconds(cycles: float, efficiency: float = 1.0) -> float:
        return max(waves * cycles / efficiency / gpu.cycles_per_s, moved / gpu.bytes_per_s)

    best = seconds(own * found.own.best + reading * found.reading.best)
    cycles = own * found.own.in_turn + reading * found.reading.in_turn
    expected = seconds(cycles, reached)
    return {
        "flops": flops,
        "moved_bytes": moved,
        "waves": blocks / at_once,
        "best_ms": 1e3 * best,
        "in_turn_ms": 1e3 * seconds(cycles),
        "expected_ms": 1e3 * expected,
        "expected_tflops_per_s": flops / expected / 1e12,
        "share_of_data_sheet": flops / expected / gpu.flops_per_s,
    }


def reached_by_published(found: Kernel) -> float:
    """The share of `in_turn` that the published kernel reaches: of sm_90a, heads of 64."""
    alone = predict(found, 1.0, read=0)
    rate: float = alone["flops"] / (alone["in_turn_ms"] / 1e3)
    return PUBLISHED / rate


def content(kernels: Sequence[Kernel]) -> dict[str, Any]:
    """What is written: each kernel, its turns and predictions with and without a reference."""
    reached = reached_by_published(next(k for k in kernels if k.used.head_dim == 64))
    return {
        "reached_of_in_turn": reached,
        "kernels": [
            {
                "gpu": k.gpu.name,
                **asdict(k.used),
                "blocks": dict(k.blocks),
                "resident": k.resident,
                "held_back_by": k.holds_back,
                "own": {**asdict(k.own), "limit": k.own.limit},
                "reading": {**asdict(k.reading), "limit": k.reading.limit},
                "layer": predict(k, reached),
                "layer_without_reference": predict(k, reached, read=0),
            }
            for k in kernels
        ],
    }


def table(kept: Mapping[str, Any]) -> str:
    """The kernels of one compiler as a Markdown table."""
    lines = [
        "| GPU | d | registers, shared | blocks | loop | instructions, matrix "
        "| cycles: tensor, issue, exp, shared, L2 | limit | predicted |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for k in kept["kernels"]:
        for loop in ("own", "reading"):
            t = k[loop]
            names = ("tensor", "issue", "special", "shared", "l2")
            cycles = ", ".join(f"{t[f'{name}_cycles']:.0f}" for name in names)
            layer = k["layer_without_reference" if loop == "own" else "layer"]
            used = f"{k['registers']}, {k['shared_bytes'] // 1024} KiB"
            first = (
                f"| {k['gpu']} | {k['head_dim']} | {used} | {k['resident']}, {k['held_back_by']} "
            )
            lines.append(
                f"{first if loop == 'own' else '| | | | '}| {loop} | {t['instructions']}, "
                f"{t['matrix']} | {cycles} | {t['limit']} | {layer['expected_ms']:.2f} ms, "
                f"{layer['expected_tflops_per_s']:.0f} TFLOP/s |"
            )
    return "\n".join(lines)


def main() -> None:
    """Writes the prediction of the compiler that is installed, and prints its table.

    Those of other versions stay in the file.
    """
    found = content([kernel(gpu, head_dim) for gpu in GPUS for head_dim in HEAD_DIMS])
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    kept[triton.__version__] = found
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
