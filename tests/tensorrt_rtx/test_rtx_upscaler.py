"""`lafi export-upscaler --target tensorrt-rtx`, by the real builder."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import lafi_export.tensorrt_command
from lafi.app.cli import app
from lafi.model.engine_metadata import load_engine_metadata
from lafi_export.upscaler.network import CompactNetwork
from lafi_kernels.tensorrt_module import TensorRTMissing
from model_infos import bare_repository

pytest.importorskip("tensorrt_rtx_bindings", reason="the extra `rtx` is not installed")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return bare_repository(tmp_path / "repository")


def told(source: Path, repository: Path, *more: str) -> tuple[int, str]:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    arguments = ["export-upscaler", str(source), "--out", str(repository), *more]
    result = runner.invoke(app, arguments)
    return result.exit_code, result.output


def test_a_network_becomes_a_plan_for_cards_elsewhere(repository: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CompactNetwork(width=4, convolutions=0, factor=2)
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    options = ("--target", "tensorrt-rtx", "--capability", "SM89,SM120")
    code, text = told(tmp_path / "net.safetensors", repository, *options)
    assert code == 0, text
    assert "building net, 2 times" in text
    metadata = load_engine_metadata(repository / "artifacts/upscaler/x2/network.plan")
    assert (metadata.builder, metadata.capability) == ("tensorrt-rtx", "8.9 12.0")
    config = (repository / "models/upscaler/config.pbtxt").read_text()
    assert '"tensorrt-rtx"' in config
    assert "KIND_GPU" in config


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (["--capability", "SM89"], "--capability: allowed with --target tensorrt-rtx, not cpu"),
        (["--target", "tensorrt-rtx", "--capability", "SM90"], "got 'SM90', allowed SM75"),
    ],
)
def test_options_that_do_not_go_together(more: list[str], error: str, tmp_path: Path) -> None:
    code, text = told(tmp_path / "net.safetensors", tmp_path, *more)
    assert code == 2
    assert error in text


def test_without_the_package_nothing_is_begun(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing() -> None:
        raise TensorRTMissing("tensorrt-rtx: cannot be imported (no); install it with: pip")

    monkeypatch.setattr(lafi_export.tensorrt_command, "import_tensorrt_rtx", missing)
    before = sorted(repository.rglob("*"))
    code, text = told(tmp_path / "none.pth", repository, "--target", "tensorrt-rtx")
    assert code == 1
    assert text.startswith("error: tensorrt-rtx: cannot be imported")
    assert sorted(repository.rglob("*")) == before
