"""`lafi export --target tensorrt` where there is no GPU: one message, and nothing begun."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

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
