"""What is predicted is counted from the machine code, and the page shows it."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from benchmarks import attention_prediction as prediction
from benchmarks.attention_sass import Loop, disassemble, matrix_loops
from lafi_kernels.ptx import compile_attention
from lafi_kernels.tiles import HEAD_DIMS, Tile, fixed_tile

ROOT = Path(__file__).parents[2]
H200, B200 = prediction.GPUS

CODE = """
.L_x_0:
        /*0010*/                   LDS R1, [R2] ;
        /*0020*/               @P1 BRA `(.L_x_0) ;
.L_x_1:
        /*0030*/                   HGMMA.64x64x16.F32.BF16 R56, gdesc[UR32], RZ, !UPT ;
.L_x_2:
        /*0040*/                   HGMMA.64x32x16.F32.BF16 R56, gdesc[UR32], R56 ;
        /*0050*/              @!P0 MUFU.EX2 R3, R4 ;
        /*0060*/              @!P0 BRA `(.L_x_2) ;
        /*0070*/               @P2 BRA `(.L_x_1) ;
.L_x_3:
        /*0080*/                   UTCHMMA gdesc[UR4], gdesc[UR10], tmem[UR20], UPT ;
        /*0090*/                   BRA.U !UP0, `(.L_x_3) ;
.L_x_4:
        /*00a0*/                   UTCHMMA gdesc[UR4], gdesc[UR10], tmem[UR20], UPT ;
        /*00b0*/                   BRA `(.L_x_4);
"""


def test_only_innermost_loops_that_multiply_are_taken_in_their_order() -> None:
    first, second = matrix_loops(CODE)
    assert first.instructions == Counter({"HGMMA.64x32x16.F32.BF16": 1, "MUFU.EX2": 1, "BRA": 1})
    assert (first.issued, first.count("MUFU"), first.matrix_flops) == (3, 1, 2 * 64 * 32 * 16)
    assert second.instructions == Counter({"UTCHMMA": 1, "BRA.U": 1})
    assert second.matrix_flops is None


def test_the_matrix_instructions_of_a_turn_are_those_of_its_tile() -> None:
    """40 is 32 + 16, of which 8 are zeros: the padded width is what is multiplied."""
    tile = fixed_tile(90, 40, 2)
    made = compile_attention(90, 2, 40, torch.bfloat16, tile=tile)
    loops = matrix_loops(disassemble(made.cubin))
    groups = tile.warps // prediction.WARP_GROUP
    wanted = 4 * tile.queries * tile.keys * 48
    assert [groups * (loop.matrix_flops or 0) for loop in loops] == [wanted] * len(loops)
    # Every share is an exponential, and each query has one that fades what came before.
    shares = tile.queries * tile.keys / (32 * tile.warps)
    assert all(loop.count("MUFU.EX2") >= shares for loop in loops)


def test_cycles_of_a_turn_by_hand() -> None:
    loop = Loop(Counter({"HGMMA.64x64x16.F32.BF16": 16, "MUFU.EX2": 64, "FFMA": 120}))
    found = prediction.turn(H200, Tile(128, 64, 4, 3), 64, loop)
    assert (found.instructions, found.matrix, found.flops) == (200, 16, 4 * 128 * 64 * 64)
    assert found.tensor_cycles == 2**21 / 4096 == 512
    assert found.issue_cycles == 200
    assert found.special_cycles == 64 * 8 == 512
    # Queries once, keys and values for each half of the queries, and both written once.
    assert found.shared_cycles == (2 * 64 * (128 + 4 * 64) + 2 * 2 * 64 * 64) / 128
    assert found.l2_cycles == 2 * 2 * 64 * 64 / 64
    assert (found.best, found.in_turn, found.limit) == (512, 1024, "tensor cores")


def test_the_clock_is_that_of_the_data_sheet() -> None:
    assert H200.cycles_per_s == pytest.approx(1.83e9, rel=0.01)
    assert B200.cycles_per_s == pytest.approx(1.86e9, rel=0.01)


def kept() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(prediction.RESULTS.read_text(encoding="utf-8"))
    return found


def test_what_is_kept_is_of_todays_tiles() -> None:
    rows: list[dict[str, object]] = kept()["3.9.0"]["kernels"]  # type: ignore[assignment]
    assert [(row["gpu"], row["head_dim"]) for row in rows] == [
        (gpu.name, width) for gpu in prediction.GPUS for width in HEAD_DIMS
    ]
    for row, gpu in zip(rows, [g for g in prediction.GPUS for _ in HEAD_DIMS], strict=True):
        tile = fixed_tile(gpu.capability, int(str(row["head_dim"])), 2)
        got = tuple(row[name] for name in ("queries", "keys", "warps", "stages"))
        assert got == (tile.queries, tile.keys, tile.warps, tile.stages)


def test_the_page_shows_what_is_kept() -> None:
    page = (ROOT / "docs/attention.md").read_text(encoding="utf-8")
    assert prediction.table(kept()["3.9.0"]) in page


def test_a_layer_takes_at_least_what_memory_and_units_allow() -> None:
    for compiler in kept().values():
        for row in compiler["kernels"]:  # type: ignore[attr-defined]
            layer = row["layer"]
            gpu = next(g for g in prediction.GPUS if g.name == row["gpu"])
            memory = 1e3 * layer["moved_bytes"] / gpu.bytes_per_s
            products = 1e3 * layer["flops"] / gpu.flops_per_s
            assert max(memory, products) <= layer["best_ms"] <= layer["in_turn_ms"]
            assert layer["in_turn_ms"] <= layer["expected_ms"]
