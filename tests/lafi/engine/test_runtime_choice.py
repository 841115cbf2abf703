from pathlib import Path

import pytest

from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.runtime import OnnxFiles
from lafi.engine.onnx.runtime_choice import choose_runtime, runtimes_of
from lafi.model.artifacts import ArtifactsError
from lafi.model.families.registry import SHIPPED
from model_infos import model_info, save_facts

NAMES = [family.name for family in SHIPPED]


@pytest.mark.parametrize("family", NAMES)
def test_every_family_has_a_runtime_and_its_usual_one_is_among_them(family: str) -> None:
    info = model_info(family=family)
    assert choose_runtime(info, None) in runtimes_of(info)
    assert {choose_runtime(info, name) for name in runtimes_of(info)} == set(runtimes_of(info))


@pytest.mark.parametrize("family", NAMES)
def test_openvino_is_the_usual_one_where_it_is_right(family: str) -> None:
    info = model_info(family=family)
    wanted = "openvino" if "openvino" in runtimes_of(info) else "onnxruntime"
    assert choose_runtime(info, None) == wanted


def test_what_a_family_refuses_is_refused_by_name() -> None:
    info = model_info(family="flux")
    assert runtimes_of(info) == ("onnxruntime",)
    with pytest.raises(ArtifactsError, match="runtime: got 'openvino', allowed onnxruntime with"):
        choose_runtime(info, "openvino")


def test_a_served_model_of_a_refused_runtime_is_not_loaded(tmp_path: Path) -> None:
    artifacts = save_facts(tmp_path, family="flux") / "artifacts"
    with pytest.raises(ArtifactsError, match="first call at a larger picture"):
        OnnxFiles("openvino").model_info(artifacts, "f32")
    with pytest.raises(ArtifactsError, match="first call at a larger picture"):
        load_onnx_engines(artifacts, "openvino")
    assert OnnxFiles("onnxruntime").model_info(artifacts, "f32").engine == "onnxruntime"
