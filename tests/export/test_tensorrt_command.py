"""`lafi export --target tensorrt` where there is no GPU: one message, and nothing begun."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from lafi.cli import app
from lafi_export.tensorrt_command import build_command

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def test_it_says_what_is_missing_and_touches_nothing(tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    code = build_command(tmp_path / "no_checkpoint", tmp_path / "out", console=console)
    assert code == 1
    (line,) = console.export_text().splitlines()
    assert line.startswith("error: gpu: got none that torch can use, allowed: a machine with")
    assert "leave out `--target tensorrt`" in line
    assert list(tmp_path.iterdir()) == []


def test_the_option_leads_there(tmp_path: Path) -> None:
    arguments = ["export", "weights", "--out", str(tmp_path / "out"), "--target", "tensorrt"]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert result.exit_code == 1
    assert result.output.startswith("error: gpu: got none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [["--denoiser"], ["--precision", "bf16"]])
def test_options_for_the_cpu_are_refused(more: list[str]) -> None:
    arguments = ["export", "weights", "--target", "tensorrt", *more]
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, arguments)
    assert result.exit_code == 2
    assert "--runtime, --precision and --denoiser are for the CPU only" in result.output
