"""Engines of TensorRT-RTX, measured; and the page, which shows what was."""

import json
import mmap
import shutil
from pathlib import Path

import pytest

from benchmarks import tensorrt_rtx
from benchmarks.tensorrt_rtx import RESULTS, build_all, forget_peak_memory, peak_memory

ROOT = Path(__file__).parents[2]


def test_memory_is_that_of_one_engine() -> None:
    held = mmap.mmap(-1, 2**28)
    held.write(bytes(2**28))
    before = peak_memory()
    held.close()
    forget_peak_memory()
    assert peak_memory() < before - 2**27


def row(engine: str, one: dict[str, float | str]) -> str:
    """Of the page's table."""
    cells = [
        *(f"{one[name]:,}" for name in ("exported_layers", "exported_whole_number_layers")),
        *(f"{one[name]:,}" for name in ("layers", "whole_number_layers")),
        *(f"{one[name]}" for name in ("cpu_seconds", "memory_megabytes", "megabytes")),
    ]
    return f"| `{engine}` | {one['precision']} | {' | '.join(cells)} |"


def test_the_page_shows_what_was_measured() -> None:
    page = (ROOT / "docs" / "tensorrt.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `") and ".onnx` | " in line]
    built = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert table == [row(engine, one) for engine, one in built.items()]
    assert {one["capability"] for one in built.values()} == {"8.9"}


def test_networks_that_enlarge_panels_are_measured_too(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="the extra `rtx` is not installed")
    copy = tmp_path / "repository"
    shutil.copytree(repository, copy)
    networks = copy / "artifacts" / "upscaler"
    shutil.copytree(ROOT / "tiny_model" / "upscaler", networks, dirs_exist_ok=True)
    built = build_all(copy, ("SM89", "SM120"), ["upscaler"])
    assert list(built) == ["upscaler/x4/network.onnx"]
    (one,) = built.values()
    assert (one.capability, one.precision) == ("8.9 12.0", "f32")
    assert one.layers > 0
    assert one.memory_megabytes > one.megabytes > 1
    assert not (networks / "x4" / "network.plan").exists()


def test_what_can_be_built_is_named() -> None:
    assert tensorrt_rtx.CHOICES[-1] == "upscaler"
