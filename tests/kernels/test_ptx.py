"""The fixed tiles compile for GPUs that are not here, without spills, into the memory there is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lafi_kernels import ptx
from lafi_kernels.tiles import ARCHITECTURES, HEAD_DIMS, Tile

RESULTS = Path(__file__).parents[2] / "benchmarks/results/attention_ptx.json"


@pytest.mark.parametrize(
    ("capability", "target", "head_dim"),
    [(80, "sm_80", 40), (89, "sm_89", 64), (90, "sm_90a", 64), (100, "sm_100a", 64)],
)
def test_it_fits_every_architecture(capability: int, target: str, head_dim: int) -> None:
    used = ptx.measure(capability, head_dim, torch.float16)
    assert used.architecture == target
    assert used.spilled == 0
    assert 0 < used.registers <= 255
    assert 0 < used.shared_bytes <= used.shared_limit


def test_spills_are_seen() -> None:
    """A tile far too large for its registers: the zero above is no accident."""
    used = ptx.measure(80, 64, torch.float16, Tile(128, 64, 2, 1))
    assert used.spilled > 0


def test_the_ptx_has_the_declared_arguments_and_two_scratch_pointers() -> None:
    compiled = ptx.compile_attention(80, 1, 64, torch.bfloat16, tile=Tile(32, 32, 4, 1))
    parameters = compiled.ptx.count(f".param .u64 .ptr .global .align 1 {compiled.name}_param_")
    numbers = compiled.ptx.count(f".param .u32 {compiled.name}_param_")
    assert (parameters, numbers) == (11 + 2, 5)
    assert compiled.name == "lafi_attention_kernel"
    assert compiled.threads == 128


def test_the_table_that_is_kept_holds_all_fixed_tiles_and_none_spills() -> None:
    """Written by `python -m lafi_kernels.ptx --json`; the tiles in it must be today's."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["kernels"]
    dtypes = {"fp16": torch.float16, "bf16": torch.bfloat16}
    assert len(kept) == len(ARCHITECTURES) * len(HEAD_DIMS) * len(dtypes)
    for row in kept:
        capability = int(row["architecture"].removeprefix("sm_").removesuffix("a"))
        tile = ptx.fixed_tile(capability, row["head_dim"], dtypes[row["dtype"]].itemsize)
        assert (row["queries"], row["keys"], row["warps"], row["stages"]) == (
            tile.queries, tile.keys, tile.warps, tile.stages,
        )  # fmt: skip
        assert row["spilled"] == 0
        assert row["shared_bytes"] <= row["shared_limit"]


def test_the_interpreter_is_refused() -> None:
    code = (
        "import torch\n"
        "from lafi_kernels import ptx\n"
        "try: ptx.compile_attention(80, 1, 64, torch.float16)\n"
        "except TypeError as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == (
        "TRITON_INTERPRET: got 1, allowed 0 where a kernel is to be compiled"
    )


@pytest.mark.parametrize("text", ["", ".version 9.4\n"])
def test_a_text_that_is_no_ptx_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"without a \.target line"):
        ptx.target_of(text)
