"""Text encoders with 8-bit weights give what torch gives with weights rounded in the same way."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from torch import Tensor

import lafi_export.artifacts
from lafi.engine.onnx.engines import OnnxTextEncoder
from lafi.engine.onnx.graph import RUNTIMES, open_graph
from lafi.model.artifacts import TEXT_ENCODER, WEIGHTS
from lafi.model.checkpoint import read_model_info
from lafi.model.families.registry import text_names
from lafi.model.info import load_model_info
from lafi_export.checkpoint_variant import Variant
from lafi_export.command import export_command
from lafi_export.int8_text import INT8_TEXT, int8_rows, write_int8_text
from lafi_export.modules import load_modules
from lafi_export.onnx_export import Graph, export_graph, graphs
from lafi_export.parity import engine_row, with_cosine
from lafi_export.parity_report import PARITY_FILE, ParityReport
from lafi_export.part_weights import PartWeights
from lafi_export.random_checkpoint import random_checkpoint
from lafi_export.repository import ExportError, export_checkpoint
from lafi_export.single_file import SingleFile

LARGE = 4096


@settings(deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1e-3, 1.0, 1e3]), st.integers(0, 3))
def test_int8_is_torchs_rounding_by_channel(seed: int, scale: float, zeros: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(7, 11, generator=generator) * scale
    matrix[:zeros] = 0
    rows, scales = int8_rows(matrix)
    assert rows.dtype == torch.int8
    back = rows * scales[:, None]
    assert torch.equal(back, _rounded(matrix))
    assert torch.all((back - matrix).abs() <= 0.5001 * scales[:, None])
    assert torch.all(rows.abs().amax(dim=1)[zeros:] == 127)


def _rounded(matrix: Tensor) -> Tensor:
    """As torch rounds weights for 8 bits."""
    scales = matrix.abs().amax(dim=1) / 127
    scales[scales == 0] = 1.0
    none = torch.zeros(len(scales), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(matrix, scales, none, 0, -127, 127)


@pytest.mark.parametrize("name", ["zimage", pytest.param("hunyuan", marks=pytest.mark.slow)])
def test_both_runtimes_compute_with_the_rounded_weights(name: Any, tmp_path: Path) -> None:
    source, folder = tmp_path / name, tmp_path / "artifacts"
    random_checkpoint(name, source, size="small")
    info = read_model_info(source)
    modules = load_modules(source, info, folder / WEIGHTS)
    graph = graphs(modules, info)[0]
    used = export_graph(graph, folder / graph.file, modules.weights)
    assert write_int8_text(folder / graph.file) == INT8_TEXT
    for file in used:
        (folder / file).unlink()
    ids = torch.randint(1, 60, (3, *graph.example["token_ids"].shape[1:])).clamp(max=60)
    if name == "zimage":
        ids[:, 1] = 1
    exact = modules.text_encoder(ids)
    with torch.no_grad():
        changed = 0
        for part in modules.text_encoder.children():
            for key, value in part.named_parameters():
                if value.ndim == 2 and value.numel() >= LARGE and "projection" not in key:
                    value.set_(_rounded(value))
                    changed += 1
        wanted = modules.text_encoder(ids)
    assert changed > 3
    for runtime in RUNTIMES:
        run = open_graph(folder / graph.file, runtime, threads=1)
        got = OnnxTextEncoder(run, text_names(info), info.most_clip_skip)(ids)
        for port, rounded, before in zip(got, wanted, exact, strict=True):
            torch.testing.assert_close(got[port], rounded, atol=1e-4, rtol=1e-4)
            row = engine_row("text_encoder", port, runtime, "int8", before, got[port])
            assert with_cosine(row, before, got[port]).passed


def test_a_wrong_embedding_fails() -> None:
    want = torch.eye(4)[None]
    for got in (torch.eye(4)[None].roll(1, -1), torch.full((1, 4, 4), torch.nan)):
        row = with_cosine(engine_row("text_encoder", "", "", "int8", want, got), want, got)
        assert not row.passed
    turned = want + 0.08 * want.roll(1, -1)
    row = engine_row("text_encoder", "", "", "int8", want, turned)
    assert row.max_error < 0.1
    assert with_cosine(row, want, want * 1.01).cosine == pytest.approx(1)


@pytest.mark.slow
def test_a_repository_states_the_error(
    checkpoint: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = repository / "artifacts"

    def copy(graph: Graph, path: Path, _: Sequence[PartWeights]) -> tuple[str, ...]:
        shutil.copy(exported / graph.file, path)
        return load_model_info(exported).onnx_weights[graph.file]

    monkeypatch.setattr(lafi_export.artifacts, "export_graph", copy)
    console = Console(record=True, width=120, file=io.StringIO())
    out = tmp_path / "out"
    given = SingleFile(checkpoint)
    assert export_command(given, out, "onnxruntime", text_precision="int8", console=console) == 0
    info = load_model_info(out / "artifacts")
    assert info.text_precision == "int8"
    assert info.onnx_weights[TEXT_ENCODER] == (INT8_TEXT,)
    assert INT8_TEXT in info.onnx_sha256
    small, whole = out / "artifacts" / INT8_TEXT, exported / WEIGHTS / "text_encoder.safetensors"
    assert small.stat().st_size < 0.5 * whole.stat().st_size
    assert not (out / "artifacts" / WEIGHTS / whole.name).exists()
    report = ParityReport.model_validate_json((out / "artifacts" / PARITY_FILE).read_bytes())
    texts = [row for row in report.engines if row.engine == "text_encoder"]
    assert {row.precision for row in texts} == {"int8"}
    assert all(row.cosine is not None and row.cosine > 0.99 for row in texts)
    assert {picture.precision for picture in report.pictures} == {"f32", "int8"}
    assert "least cosine with torch 0.99" in (out / "artifacts" / "parity.md").read_text()


def test_variants_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    variant = Variant("soft", (), ())
    with pytest.raises(ExportError, match="text_precision: got 'int8' with variants"):
        export_checkpoint(checkpoint, tmp_path / "out", text_precision="int8", variants=[variant])
