"""A control network comes out of an export as it went in; one that does not fit is refused.

With all else that steers panels, which is not slow: tests/export/test_steered_repository.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from control_networks import random_control
from exported_conditions import POSE, check_a_single_cell, drawn

from drawn_twice import distance
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import ARTIFACTS
from lafi.model.checkpoint import CheckpointError
from lafi.model.control_info import is_residual
from lafi.model.info import load_model_info
from lafi.ports.engines import Engines
from lafi_export.control.repository import control_report
from lafi_export.repository import ExportError, export_checkpoint


@pytest.fixture(scope="module")
def artifacts(checkpoint: Path, pose: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("controlled") / "repository"
    export_checkpoint(checkpoint, repository, runtime="onnxruntime", controls={"pose": pose})
    return repository / ARTIFACTS


def pixels(engines: Engines) -> list[np.ndarray]:
    """A panel with control, and the same one without, in one batch."""
    return drawn(engines, [{"control": [{"kind": "pose", "pose": POSE}]}, {}])


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_it_draws_what_torch_draws(
    artifacts: Path, checkpoint: Path, pose: Path, runtime: Any
) -> None:
    ours = pixels(load_onnx_engines(artifacts, runtime, threads=1))
    theirs = pixels(load_torch_engines(checkpoint, controls={"pose": pose}))
    for got, want in zip(ours, theirs, strict=True):
        assert distance(got, want) <= 2
    assert distance(*ours) > 10


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("routed", [True, False])
def test_the_deepest_residual_may_be_a_single_cell(
    artifacts: Path, checkpoint: Path, pose: Path, runtime: Any, rows: int, routed: bool
) -> None:
    exported = load_onnx_engines(artifacts, runtime, threads=1)
    engines = load_torch_engines(checkpoint, controls={"pose": pose})
    check_a_single_cell(exported, engines, rows, routed=routed, kinds=(is_residual,))


@pytest.mark.slow
def test_the_manifest_and_the_report_name_it(artifacts: Path) -> None:
    info = load_model_info(artifacts)
    (control,) = info.controls
    assert control.name == "pose"
    assert sorted(control.sha256) == [
        "condition.onnx",
        "network.onnx",
        "weights/control.safetensors",
    ]
    residuals = [port for port in info.added_inputs if is_residual(port)]
    report = control_report(artifacts, "pose")
    seen = {row.case.rpartition(", ")[2] for row in report.engines if row.engine == "control"}
    assert seen == {port.name for port in residuals}
    assert {row.engine for row in report.engines} == {"condition", "control"}
    assert {row.runtime for row in report.engines} == {"onnxruntime", "openvino"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cross_attention_dim": 32}, "cross_attention_dim: got 32, allowed 64"),
        ({"in_channels": 8}, "in_channels: got 8, allowed 4"),
        (
            {"block_out_channels": [16, 32, 64]},
            r"block_out_channels: got \[16, 32, 64\], allowed \[16, 32, 32\]",
        ),
        ({"layers_per_block": 3}, "layers_per_block: got 3"),
        ({"conditioning_embedding_out_channels": [8, 16]}, "make a picture 2 times smaller"),
        ({"controlnet_conditioning_channel_order": "bgr"}, "got 'bgr', allowed 'rgb'"),
        ({"global_pool_conditions": True}, "global_pool_conditions: got True, allowed False"),
    ],
)
def test_one_of_another_architecture_is_refused_before_any_work(
    checkpoint: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    given = random_control(checkpoint, tmp_path / "other", 0, **changes)
    told: list[str] = []
    with pytest.raises(CheckpointError, match=f"control other: .*{said}"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"other": given}, tell=told.append)
    assert not told
    assert not (tmp_path / "out").exists()


def test_one_for_sdxl_is_refused_for_another_model(
    checkpoint: Path, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    given = random_control(small_checkpoints("sdxl"), tmp_path / "xl", 0)
    with pytest.raises(CheckpointError, match="addition_embed_type: got 'text_time', allowed None"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"xl": given})


def test_a_folder_of_something_else_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="got a UNet2DConditionModel, allowed a ControlNet"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"x": checkpoint / "unet"})
    with pytest.raises(CheckpointError, match="has no config of a ControlNetModel"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"x": checkpoint})


def test_the_served_denoiser_goes_without(checkpoint: Path, pose: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--denoiser: got it with control networks"):
        export_checkpoint(checkpoint, tmp_path / "out", controls={"pose": pose}, denoiser=True)


def test_torch_refuses_it_likewise(checkpoint: Path, tmp_path: Path) -> None:
    given = random_control(checkpoint, tmp_path / "other", 0, cross_attention_dim=32)
    with pytest.raises(CheckpointError, match="cross_attention_dim"):
        load_torch_engines(checkpoint, torch.float32, controls={"other": given})
