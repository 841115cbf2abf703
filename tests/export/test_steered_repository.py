"""Whatever steers panels beside words comes out of one export as it went in.

Each kind in a model of its own is among the slow tests of its folder.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
from exported_conditions import (
    LEFT,
    POSE,
    SHOWN,
    check_a_single_cell,
    check_facts_of_picture_prompts,
    drawn,
)

from drawn_twice import distance
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import ARTIFACTS, ArtifactsError
from lafi.model.control_info import (
    ADAPTER,
    NETWORK,
    control_folder,
    is_feature,
    is_residual,
)
from lafi.model.info import load_model_info
from lafi.model.picture_prompt_info import ENCODER, AdapterFiles, picture_prompt_folder
from lafi.ports.engines import Engines
from lafi_export.control.repository import control_report

INK: dict[str, Any] = {"kind": "ink", "pose": POSE, "region": [0, 0, 0.5, 1], "end": 0.7}
NET: dict[str, Any] = {"kind": "pose", "pose": POSE}
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


def test_it_draws_what_torch_draws(exported: Engines, engines: Engines) -> None:
    ours = dict(zip(PANELS, drawn(exported, [*PANELS.values()]), strict=True))
    theirs = dict(zip(PANELS, drawn(engines, [*PANELS.values()]), strict=True))
    for name, picture in theirs.items():
        assert distance(ours[name], picture) <= 2, name
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
    check_a_single_cell(exported, engines, rows, routed=routed, kinds=(is_residual, is_feature))


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
    check_facts_of_picture_prompts(artifacts)


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
