"""The whole script at small size on the CPU, so that no minute of a GPU is lost to a typo."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.first_on_gpu import counted, segments
from benchmarks.first_on_gpu.plan import PLAN
from benchmarks.first_on_gpu.tune import compile_for
from benchmarks.torch_engine import count
from lafi_kernels.tiles import Tile

ROOT = Path(__file__).parents[3]


def script(folder: Path, *options: str, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.first_on_gpu", "--device", "cpu"]
    return subprocess.run(
        [*command, "--size", "small", "--out", str(folder), "--seconds", "1500", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def part(folder: Path, name: str) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return kept


LACKING = ("diffusers", "pydantic", "transformers", "yaml")


def test_parts_of_the_kernel_need_no_diffusers() -> None:
    """Nor pydantic or transformers."""
    code = (
        f"import sys; sys.modules |= dict.fromkeys({LACKING})\n"
        "from benchmarks.first_on_gpu import plan\n"
        "for part in plan.PLAN:\n"
        "    try: part.load(); print(part.name)\n"
        "    except ImportError as error: print(part.name, error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stderr == ""
    *alone, sdxl, sd15, last = ran.stdout.splitlines()
    assert [*alone, last] == ["machine", "numerics", "segments", "tune"]
    assert sdxl.startswith("sdxl import of diffusers halted")
    assert sd15.startswith("sd15 import of diffusers halted")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_without_diffusers_its_parts_say_so_and_the_others_give_figures(tmp_path: Path) -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in LACKING)
    (tmp_path / "sitecustomize.py").write_text(f"import sys\n{blocked}", encoding="utf-8")
    parts = ("--only", "machine", "segments", "sd15")
    ran = script(tmp_path / "out", *parts, path=str(tmp_path))
    assert ran.returncode == 1, ran.stderr
    assert part(tmp_path / "out", "machine")["state"] == "done"
    assert "result" in part(tmp_path / "out", "segments")["rows"]["fused"]
    lacked = part(tmp_path / "out", "sd15")
    assert lacked["state"] == "not run"
    assert "diffusers" in lacked["why"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_part_gives_figures_and_a_second_call_asks_nothing_again(tmp_path: Path) -> None:
    first = script(tmp_path)
    assert first.returncode == 1, first.stderr
    for name in ("machine", "numerics", "sdxl", "sd15", "tune"):
        assert part(tmp_path, name)["state"] == "done", part(tmp_path, name)
    assert {row["result"]["kernel"] for row in part(tmp_path, "numerics")["rows"].values()} == {
        "interpreted"
    }
    # Only a GPU has cuDNN's attention; this is what keeps the script from being done.
    open_ = {n: row for n, row in part(tmp_path, "segments")["rows"].items() if "result" not in row}
    assert set(open_) == {"cat + SDPA cuDNN", "plain SDPA cuDNN"}
    assert {row["not_run"] for row in open_.values()} == {"cuDNN has attention for GPUs alone"}
    for model in ("sdxl", "sd15"):
        rows = part(tmp_path, model)["rows"]
        assert len(rows) == 5
        # In fp32 a concatenation gives what reading in place gives.
        assert max(row["result"]["difference_from_ours_eager"] for row in rows.values()) < 1e-4
    kept = {p.name: part(tmp_path, p.name)["rows"] for p in PLAN}
    script(tmp_path)
    again = {p.name: part(tmp_path, p.name)["rows"] for p in PLAN}
    kept["segments"] = {n: row for n, row in kept["segments"].items() if n not in open_}
    again["segments"] = {n: row for n, row in again["segments"].items() if n not in open_}
    assert again == kept


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_on_gpu", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert ran.stderr == "no CUDA device; --device cpu --size small tries the script\n"


def test_the_shape_is_16_rows_that_read_8192_tokens() -> None:
    layer = segments.SDXL[0]
    assert (segments.PANELS, layer.tokens, layer.heads, layer.head_dim) == (16, 4096, 10, 64)


def test_a_reference_in_the_bank_gives_what_one_in_the_batch_gives() -> None:
    layer = segments._TRIED
    tensors = segments.make_tensors(layer, 2, "cpu")
    kept = segments.from_bank(tensors)
    read = torch.ops.lafi.attention(*tensors, layer.heads)[:2]
    torch.testing.assert_close(torch.ops.lafi.attention(*kept, layer.heads), read)


def test_tiles_are_compiled_beforehand() -> None:
    found = compile_for(90, segments.SDXL[:1], (Tile(64, 32, 4, 2),))
    assert found == {"tiles": 1, "workers": 1, "left_out": 0, "errors": []}


def test_a_tile_that_the_compiler_refuses_is_counted() -> None:
    """The kernel takes no head of 0."""
    found = compile_for(90, [replace(segments.SDXL[0], head_dim=0)], (Tile(64, 32, 4, 2),))
    assert found["left_out"] == 1
    assert "head_dim: got 0" in found["errors"][0]


def test_the_counted_work_holds_every_step() -> None:
    kept = json.loads(counted.FILE.read_text(encoding="utf-8"))
    assert set(kept) == {case.name for case in counted._cases()}


@pytest.mark.slow
def test_the_counted_work_is_todays() -> None:
    for case in counted.step_cases("sd15", "full"):
        assert counted.work_of(case, "full") == count(case, "full", counted.BYTES)
