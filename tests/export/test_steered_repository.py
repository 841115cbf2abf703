"""Whatever steers panels beside words comes out of one export as it went in.

Each kind in a model of its own is among the slow tests of its folder.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from steered_boards import coarse_blocks, pixels, png

from drawn_twice import distance
from lafi.board.storyboard import Panel, Storyboard
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import ArtifactsError
from lafi.model.control_info import (
    ADAPTER,
    NETWORK,
    control_folder,
    is_feature,
    is_residual,
    network_ports,
)
from lafi.model.families.registry import input_ports
from lafi.model.info import load_model_info
from lafi.model.picture_prompt_info import ENCODER, AdapterFiles, picture_prompt_folder
from lafi.ports.engines import Engines
from lafi_export.control.repository import control_report
from lafi_export.parity_cases import random_batch, random_ports
from lafi_export.picture_prompts.repository import picture_report
from lafi_export.repository import ARTIFACTS

POSE = {"neck": (0.5, 0.3), "nose": (0.5, 0.1), "right_hip": (0.4, 0.6)}
INK: dict[str, Any] = {"kind": "ink", "pose": POSE, "region": [0, 0, 0.5, 1], "end": 0.7}
NET: dict[str, Any] = {"kind": "pose", "pose": POSE}
SHOWN: dict[str, Any] = {"image": png(coarse_blocks(1, 4, (40, 50))), "strength": 0.8}
LEFT: dict[str, Any] = {"image": png(coarse_blocks(2, 4, (40, 50))), "region": [0, 0, 0.5, 1]}
PANELS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "network": {"control": [NET]},
    "adapter": {"control": [INK]},
    "both": {"control": [INK, NET]},
    "picture": {"picture_prompts": [SHOWN]},
    "pictures": {"picture_prompts": [SHOWN, LEFT]},
    "all": {"control": [INK, NET], "picture_prompts": [SHOWN, LEFT]},
}
# The first of these tests may export the model.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def artifacts(steered_repository: Path) -> Path:
    """Of a model with a T2I-Adapter, a control network and picture prompts."""
    return steered_repository / ARTIFACTS


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def exported(artifacts: Path, request: pytest.FixtureRequest) -> Engines:
    """The model in each runtime."""
    return load_onnx_engines(artifacts, request.param, threads=1)


@pytest.fixture(scope="module")
def engines(checkpoint: Path, pose: Path, ink: Path, adapter: AdapterFiles) -> Engines:
    """The same in torch."""
    controls = {"ink": ink, "pose": pose}
    return load_torch_engines(checkpoint, controls=controls, picture_prompts=adapter)


def drawn(engines: Engines) -> dict[str, np.ndarray]:
    """All panels in one batch."""
    board = Storyboard(
        width=32,
        height=32,
        sampling={"steps": 3, "sampler": "DDIM", "guidance": 3},
        injection={"layers": "none"},
        panels=[Panel(prompt="a child", seed=1, **fields) for fields in PANELS.values()],
    )
    return dict(zip(PANELS, pixels(board, engines), strict=True))


def test_it_draws_what_torch_draws(exported: Engines, engines: Engines) -> None:
    ours = drawn(exported)
    for name, theirs in drawn(engines).items():
        assert distance(ours[name], theirs) <= 2, name
    names = [*ours]
    for place, name in enumerate(names):
        least = 10 if name.startswith(("network", "picture")) else 5
        for other in names[:place]:
            assert distance(ours[name], ours[other]) > least, (name, other)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("routed", [True, False])
def test_the_deepest_residual_may_be_a_single_cell(
    exported: Engines, engines: Engines, rows: int, routed: bool
) -> None:
    """As wide and high as the smallest latents. Not routed: one row of zeros stands for all."""
    generator = torch.Generator().manual_seed(0)
    batch = random_batch(exported.info, generator, (rows, 1, 1, 1), routed=routed)
    added = exported.info.added_inputs
    for kind in (is_residual, is_feature):
        assert ([port for port in added if kind(port)][-1].name in batch.ports) == routed
    want, got = engines.denoiser(batch), exported.denoiser(batch)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    ports = network_ports(input_ports(exported.info))
    given = random_ports(ports, exported.info, generator, (rows, 1, 1, 1))
    pair = (each.controls["pose"].residuals(given) for each in (exported, engines))
    for one, other in zip(*pair, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_manifest_and_the_reports_name_the_controls(artifacts: Path) -> None:
    info = load_model_info(artifacts)
    adapter, network = info.controls
    assert (adapter.name, adapter.features, adapter.channels) == ("ink", 3, 1)
    assert (network.name, network.features, network.channels) == ("pose", 0, 3)
    weights = "weights/control.safetensors"
    assert sorted(adapter.sha256) == ["adapter.onnx", weights]
    assert sorted(network.sha256) == ["condition.onnx", "network.onnx", weights]
    for name, engines, seen_by, kind in (
        ("ink", {"adapter"}, "adapter", is_feature),
        ("pose", {"condition", "control"}, "control", is_residual),
    ):
        report = control_report(artifacts, name)
        assert {row.engine for row in report.engines} == engines
        ports = {port.name for port in info.added_inputs if kind(port)}
        rows = [row for row in report.engines if row.engine == seen_by]
        assert {row.case.rpartition(", ")[2] for row in rows} == ports
        assert {row.runtime for row in report.engines} == {"onnxruntime", "openvino"}


def test_the_manifest_and_the_report_name_the_picture_prompts(artifacts: Path) -> None:
    info = load_model_info(artifacts)
    assert info.picture_prompts is not None
    assert sorted(info.picture_prompts.sha256) == [ENCODER, "weights/encoder.safetensors"]
    assert "weights/picture_prompts.safetensors" in info.onnx_weights["denoiser.onnx"]
    assert "weights/picture_prompts.safetensors" not in info.onnx_weights["reference.onnx"]
    report = picture_report(artifacts)
    assert {row.case for row in report.engines} == {"batch 1", "batch 3", "no picture"}
    assert {row.runtime for row in report.engines} == {"onnxruntime", "openvino"}


@pytest.mark.parametrize("of", ["ink", "pose", "picture prompts"])
def test_a_changed_file_is_refused(artifacts: Path, tmp_path: Path, of: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifacts, copy)
    file = {
        "ink": control_folder(copy, "ink") / ADAPTER,
        "pose": control_folder(copy, "pose") / NETWORK,
        "picture prompts": picture_prompt_folder(copy) / ENCODER,
    }[of]
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ArtifactsError, match=rf"{file.stem}\.onnx: got SHA-256"):
        load_onnx_engines(copy, "onnxruntime", threads=1)
