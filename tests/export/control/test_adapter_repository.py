"""T2I-Adapters of published architectures are exported; one that does not fit is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from control_networks import random_adapter

from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import ARTIFACTS
from lafi.model.checkpoint import CheckpointError
from lafi.model.control_info import is_residual
from lafi_export.parity_cases import random_batch
from lafi_export.repository import ExportError, export_checkpoint


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_the_places_of_published_architectures(
    name: str, runtime: Any, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    """With features in all rows and with one row of zeros, also of a single cell; SDXL's last ones
    go to its middle."""
    checkpoint = small_checkpoints(name)
    controls = {"ink": random_adapter(checkpoint, tmp_path / "ink", 1)}
    export_checkpoint(checkpoint, tmp_path / "out", runtime=runtime, controls=controls)
    exported = load_onnx_engines(tmp_path / "out" / ARTIFACTS, runtime, threads=1)
    engines = load_torch_engines(checkpoint, controls=controls)
    assert not any(is_residual(port) for port in exported.info.added_inputs)
    generator = torch.Generator().manual_seed(0)
    for rows, routed in ((1, True), (3, True), (3, False)):
        batch = random_batch(exported.info, generator, (rows, 1, 1, 1), routed=routed)
        assert ("control_feature_3" in batch.ports) == routed
        want, got = engines.denoiser(batch), exported.denoiser(batch)
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": [16, 32]}, r"channels: got \[16, 32\], allowed \[16, 32, 32\]"),
        ({"channels": [16, 32, 64]}, r"channels: got \[16, 32, 64\], allowed \[16, 32, 32\]"),
        ({"channels": [16, 32, 32, 32]}, r"features are \[4, 8, 16, 32\] times smaller"),
        ({"downscale_factor": 8}, "downscale_factor: got full_adapter and 8, whose features are"),
        ({"adapter_type": "full_adapter_xl"}, r"\[4, 4, 8\] times .*make them \[4, 8, 16\] times"),
        ({"in_channels": 4}, r"in_channels: got 4, allowed 1 \(grey\) or 3 \(RGB\)"),
    ],
)
def test_one_of_another_architecture_is_refused_before_any_work(
    checkpoint: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    given = random_adapter(checkpoint, tmp_path / "other", 0, **changes)
    told: list[str] = []
    with pytest.raises(CheckpointError, match=f"control other: .*{said}"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"other": given}, tell=told.append)
    assert not told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adapter_type": "deep"}, "no T2IAdapter has this config: Unsupported adapter_type"),
        ({"downscale_factor": 7}, "downscale_factor: got 7, allowed one by which a side of 64"),
        ({"channels": "many"}, "no T2IAdapter has this config"),
        ({"_class_name": "MultiAdapter"}, "got a MultiAdapter, allowed a ControlNetModel or a T2I"),
    ],
)
def test_a_damaged_config_is_refused_by_name(
    checkpoint: Path, ink: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(ink, folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(CheckpointError, match=f"damaged: .*{said}"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"x": folder})


def test_one_for_sdxl_is_refused_for_another_model(
    checkpoint: Path, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    given = random_adapter(small_checkpoints("sdxl"), tmp_path / "xl", 0)
    with pytest.raises(CheckpointError, match=r"control xl: .*where the UNet of .* takes features"):
        load_torch_engines(checkpoint, controls={"xl": given})


def test_missing_weights_are_named(checkpoint: Path, ink: Path, tmp_path: Path) -> None:
    other = random_adapter(checkpoint, tmp_path / "other", 0, num_res_blocks=2)
    shutil.copyfile(other / "config.json", tmp_path / "config.json")
    (file,) = ink.glob("*.safetensors")
    shutil.copyfile(file, tmp_path / file.name)
    with pytest.raises(CheckpointError, match=r"resnets\.1\.block1\.weight is missing"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"x": tmp_path})


def test_the_served_denoiser_goes_without(checkpoint: Path, ink: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--denoiser: got it with control networks"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"ink": ink}, denoiser=True)
