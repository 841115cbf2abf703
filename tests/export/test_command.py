"""`lafi export` on the command line: what it prints and how it ends."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

import lafi_export.artifacts
from lafi.model.info import load_model_info
from lafi_export.command import export_command
from lafi_export.onnx_export import Graph
from lafi_export.part_weights import PartWeights
from lafi_export.single_file import SingleFile


@pytest.mark.slow
def test_it_says_its_steps_and_shows_the_report(
    checkpoint: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = repository / "artifacts"

    def copy(graph: Graph, path: Path, _: Sequence[PartWeights]) -> tuple[str, ...]:
        shutil.copy(exported / graph.file, path)
        return load_model_info(exported).onnx_weights[graph.file]

    monkeypatch.setattr(lafi_export.artifacts, "export_graph", copy)
    console = Console(record=True, width=120, file=io.StringIO())
    code = export_command(
        SingleFile(checkpoint),
        tmp_path / "out",
        runtime="onnxruntime",
        denoiser=True,
        console=console,
    )
    assert code == 0
    text = console.export_text()
    for said in ("exporting denoiser.onnx", "comparing with torch", "panel 1", "lafi serve"):
        assert said in text


def test_a_missing_checkpoint_is_one_line(tmp_path: Path) -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    assert export_command(SingleFile(tmp_path / "nowhere"), tmp_path / "out", console=console) == 1
    text = console.export_text()
    assert text.startswith("error: ")
    assert "nowhere" in text
    assert "Traceback" not in text
