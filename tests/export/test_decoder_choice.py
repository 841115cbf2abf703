"""The VAE's decoder runs in bf16 where it may, and only there."""

import shutil
from pathlib import Path

import pytest

from lafi.engine.onnx.graph import cpu_has_bf16, model_info
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.info import load_model_info
from lafi.ports.engines import Engines
from lafi_export import decoder_choice
from lafi_export.artifacts import ExportedModel
from lafi_export.decoder_choice import with_decoder_precision


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def exported(repository: Path, folder: Path, engine: str, precision: str) -> ExportedModel:
    artifacts = Path(shutil.copytree(repository / "artifacts", folder / "artifacts"))
    facts = {"engine": engine, "precision": precision}
    info = load_model_info(artifacts).model_copy(update=facts)
    info.save(artifacts)
    return ExportedModel(artifacts, info, {})


@pytest.mark.parametrize(("least", "wanted"), [(0.0, "bf16"), (101.0, "f32")])
def test_it_runs_in_bf16_where_its_pixels_are_near_enough(
    repository: Path,
    reference: Engines,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    least: float,
    wanted: str,
) -> None:
    if not cpu_has_bf16():
        pytest.skip("this CPU has no bf16")
    monkeypatch.setattr(decoder_choice, "LEAST_DB", least)
    model = exported(repository, tmp_path, "openvino", "bf16")
    found, same = with_decoder_precision(model, reference, 1)
    assert same is reference
    assert found.info.decoder_precision == wanted
    assert load_model_info(model.artifacts) == found.info
    assert model_info(model.artifacts, "openvino", "bf16").decoder_precision == wanted
    assert model_info(model.artifacts, "openvino", "f32").decoder_precision == "f32"


@pytest.mark.parametrize(
    ("engine", "precision"), [("openvino", "f32"), ("onnxruntime", "f32"), ("tensorrt", "bf16")]
)
def test_elsewhere_it_is_not_even_tried(
    repository: Path,
    reference: Engines,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    precision: str,
) -> None:
    monkeypatch.setattr(decoder_choice, "load_vae_decoder", None)
    model = exported(repository, tmp_path, engine, precision)
    assert with_decoder_precision(model, reference, 1) == (model, reference)
