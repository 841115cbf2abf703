"""Loading what the served model `upscaler` runs."""

import shutil
from pathlib import Path

import pytest
import torch

from lafi.engine.cuda.machine import GpuMissing
from lafi.model.artifacts import ArtifactsError
from lafi.serving.upscalers import load_served_upscaler

BUNDLED = Path(__file__).parents[3] / "tiny_model/upscaler"


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED, tmp_path / "upscaler")
    return tmp_path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_networks_of_a_folder(artifacts: Path, runtime: str) -> None:
    assert load_served_upscaler(artifacts, runtime, 1).info.factors((2, 4)) == (2, 4)


def test_an_unknown_runtime_is_refused(artifacts: Path) -> None:
    allowed = "allowed onnxruntime, openvino, tensorrt"
    with pytest.raises(ArtifactsError, match=f"runtime: got 'magic', {allowed}"):
        load_served_upscaler(artifacts, "magic", 1)


def test_a_folder_without_networks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactsError, match=r"got no network.*lafi export-upscaler SOURCE"):
        load_served_upscaler(tmp_path, "onnxruntime", 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_plans_need_a_gpu(artifacts: Path) -> None:
    with pytest.raises(GpuMissing):
        load_served_upscaler(artifacts, "tensorrt", 1)
