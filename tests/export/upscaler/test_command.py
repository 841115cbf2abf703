"""`lafi export-upscaler`: what it prints and how it ends."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from lafi_export.tensorrt_plan import BuildOptions
from lafi_export.upscaler.command import upscaler_command
from lafi_export.upscaler.network import CompactNetwork
from model_infos import bare_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return bare_repository(tmp_path / "repository")


def run(source: Path, repository: Path, **settings: Any) -> tuple[int, str]:
    console = Console(record=True, width=120, file=io.StringIO())
    code = upscaler_command(str(source), repository, console=console, **settings)
    return code, console.export_text()


def test_it_says_its_steps_and_how_to_ask_for_it(repository: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CompactNetwork(width=4, convolutions=0, factor=2)
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    code, text = run(tmp_path / "net.safetensors", repository)
    assert code == 0
    for said in ("exporting net", "openvino", "upscale: 2", f"lafi serve {repository}"):
        assert said in text.replace("\n", "")
    assert (repository / "models/upscaler/config.pbtxt").is_file()


def test_an_error_is_one_line(repository: Path, tmp_path: Path) -> None:
    code, text = run(tmp_path / "none.pth", repository)
    assert code == 1
    assert text.splitlines()[1].startswith("error: SOURCE: got ")
    shutil.rmtree(repository)
    code, text = run(tmp_path / "none.pth", repository)
    assert (code, text.startswith("error: --out: got ")) == (1, True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_no_plan_is_begun(repository: Path, tmp_path: Path) -> None:
    code, text = run(tmp_path / "none.pth", repository, options=BuildOptions())
    assert code == 1
    assert text.startswith("error: gpu: got none that torch can use")
