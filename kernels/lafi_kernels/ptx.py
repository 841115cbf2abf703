# mypy: disable-error-code="import-untyped, import-not-found"
"""Compiles the Triton-lang attention kernel for NVIDIA GPUs, without needing one.

    python -m lafi_kernels.ptx [--fp32] [--json FILE]

prints registers, spills and shared memory of the fixed tiles, for every architecture, head width
and 16-bit dtype. Knows the compiler and its assembler, not how the kernel is launched.
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
import triton
from rich.console import Console
from rich.table import Table
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lafi_kernels.tiles import ARCHITECTURES, HEAD_DIMS, SHARED_MEMORY, Tile, fixed_tile
from lafi_kernels.triton_lang import (
    INPUTS,
    OUTPUTS,
    SCALARS,
    constants,
    lafi_attention_kernel,
    options,
)

DTYPES: Final = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
HEADS: Final = 8
ALIGNMENT: Final = 16
"""Bytes: the compiler may assume that every tensor argument is aligned to this."""

_TENSORS: Final = ("q", "k", "v", "bank_k", "bank_v", "o")


@dataclass(frozen=True, slots=True)
class CompiledAttention:
    """The kernel compiled for one architecture. `ptx` still has Triton-lang's scratch pointers.

    tensor_memory: columns of a block, of the 512 that a multiprocessor has from sm_100 on; else 0.
    """

    name: str
    ptx: str
    cubin: bytes
    shared_bytes: int
    threads: int
    tensor_memory: int = 0


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources that a compiled kernel needs.

    registers: per thread. spilled: bytes of stack per thread, used only for values that did not
    fit into registers. shared_*: bytes per block.
    """

    architecture: str
    head_dim: int
    dtype: str
    queries: int
    keys: int
    warps: int
    stages: int
    registers: int
    spilled: int
    shared_bytes: int
    shared_limit: int


def compile_attention(
    capability: int,
    heads: int,
    head_dim: int,
    dtype: torch.dtype,
    *,
    weights: torch.dtype = torch.float32,
    tile: Tile | None = None,
    ptx_version: int | None = None,
) -> CompiledAttention:
    """Compile `lafi_attention_kernel` for a compute capability, major * 10 + minor.

    dtype: of q, k, v, the bank and the output. weights: of bias, mask, bank_mask and region.
    tile: None takes the fixed choice. ptx_version: major * 10 + minor of the PTX version that the
    loader of the text supports; None: the version of Triton-lang's own assembler.
    Needs no GPU. Raises TypeError under the interpreter, which cannot compile.
    """
    if not isinstance(lafi_attention_kernel, triton.JITFunction):
        raise TypeError("TRITON_INTERPRET: got 1, allowed 0 where a kernel is to be compiled")
    tile = tile or fixed_tile(capability, head_dim, dtype.itemsize)
    fixed = constants(heads, head_dim, dtype, tile)
    pointers = (*INPUTS, *OUTPUTS)
    types = {name: f"*{DTYPES[dtype if name in _TENSORS else weights]}" for name in pointers}
    types |= {"routes": "*i32"} | dict.fromkeys(SCALARS, "i32")
    types |= dict.fromkeys(fixed, "constexpr")
    names = lafi_attention_kernel.arg_names
    source = ASTSource(
        fn=lafi_attention_kernel,
        signature={name: types[name] for name in names},
        constexprs=fixed,
        attrs={(names.index(name),): [["tt.divisibility", ALIGNMENT]] for name in pointers},
    )
    compiled = triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options=options(tile) | {"ptx_version": ptx_version},
    )
    metadata = compiled.metadata
    return CompiledAttention(
        name=metadata.name,
        ptx=compiled.asm["ptx"],
        cubin=compiled.asm["cubin"],
        shared_bytes=metadata.shared,
        threads=32 * metadata.num_warps,
        tensor_memory=getattr(metadata, "tmem_size", 0) or 0,
    )


def measure(
    capability: int, head_dim: int, dtype: torch.dtype, tile: Tile | None = None
) -> Resources:
    """Registers, spills and shared memory of the kernel; tile None: the fixed tile.

    Raises CalledProcessError if the kernel's binary cannot be read back.
    """
    tile = tile or fixed_tile(capability, head_dim, dtype.itemsize)
    compiled = compile_attention(capability, HEADS, head_dim, dtype, tile=tile)
    return resources(compiled, capability, head_dim, dtype, tile)


def resources(
    compiled: CompiledAttention, capability: int, head_dim: int, dtype: torch.dtype, tile: Tile
) -> Resources:
    """What a kernel that was compiled with these arguments needs."""
    usage = _resource_usage(compiled.cubin)
    return Resources(
        architecture=target_of(compiled.ptx),
        head_dim=head_dim,
        dtype=DTYPES[dtype],
        **asdict(tile),
        registers=_number(r"REG:(\d+)", usage),
        spilled=_number(r"STACK:(\d+)", usage),
        shared_bytes=compiled.shared_bytes,
        shared_limit=SHARED_MEMORY[capability],
    )


def target_of(ptx: str) -> str:
    """The target of a PTX's `.target` line, such as `sm_90a`. Raises ValueError if it has none."""
    match = re.search(r"^\.target\s+(\w+)", ptx, re.MULTILINE)
    if match is None:
        raise ValueError("ptx: got a text without a .target line, allowed PTX")
    return match[1]


def _resource_usage(cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"cuobjdump: got no {pattern!r} in {text!r}")
    return int(match[1])


def rows(dtypes: Sequence[torch.dtype]) -> Iterator[Resources]:
    """The assembler's figures for every architecture and head width in these dtypes."""
    for capability in ARCHITECTURES:
        for dtype in dtypes:
            for head_dim in HEAD_DIMS:
                yield measure(capability, head_dim, dtype)


def main() -> None:
    """Prints the table of all fixed tiles."""
    parser = argparse.ArgumentParser(prog="python -m lafi_kernels.ptx", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument("--fp32", action="store_true", help="fp32 too, which takes much longer")
    arguments = parser.parse_args()
    dtypes = [dtype for dtype in DTYPES if dtype.itemsize == 2 or arguments.fp32]
    caption = "tile: queries x keys, w warps, s stages; spilled: bytes of a thread"
    table = Table(title=f"Triton-lang {triton.__version__}", caption=caption)
    for column in ("arch", "d", "dtype", "tile", "regs", "spilled", "shared", "limit"):
        table.add_column(column, justify="right", no_wrap=True)
    found = []
    for row in rows(dtypes):
        found.append(asdict(row))
        tile = f"{row.queries}x{row.keys} w{row.warps} s{row.stages}"
        kib = (f"{size / 1024:.0f} K" for size in (row.shared_bytes, row.shared_limit))
        counts = (str(row.registers), str(row.spilled), *kib)
        table.add_row(row.architecture, str(row.head_dim), row.dtype, tile, *counts)
    Console().print(table)
    if arguments.json is not None:
        content = {"triton": triton.__version__, "kernels": found}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
