"""The folder that `lafi export` writes: complete, or not there at all."""

import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc import model_config_pb2

import lafi_export.artifacts
import lafi_export.repository
from lafi.engine.onnx.graph import Precision, RuntimeName, cpu_has_bf16, model_info
from lafi.engine.onnx.recogniser import exported_recogniser
from lafi.engine.torch.engines import load_torch_engines
from lafi.identity.service import open_identity
from lafi.model.artifacts import FILES, ArtifactsError, file_sha256
from lafi.model.checkpoint import CheckpointError
from lafi.model.graph_changes import GraphChange
from lafi.model.info import load_model_info
from lafi.ports.engines import Engines
from lafi.wire.model_spec import ModelSpec, served_models
from lafi_export import ExportError, ParityError, ParityReport, export_checkpoint
from lafi_export.onnx_export import Graph
from lafi_export.part_weights import PartWeights
from lafi_export.repository import EngineLoader
from lafi_export.tensorrt_plan import BuildError

ROUTED = ("not routed", "1 routed", "2 routed")


@pytest.fixture
def instant_trace(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    """Takes the ONNX files from the export that is there; tracing is what takes long."""

    def copy(graph: Graph, path: Path, weights: Sequence[PartWeights]) -> tuple[str, ...]:
        assert path.parent / weights[0].location == weights[0].path
        shutil.copy(repository / "artifacts" / graph.file, path)
        return load_model_info(repository / "artifacts").onnx_weights[graph.file]

    monkeypatch.setattr(lafi_export.artifacts, "export_graph", copy)


@pytest.fixture
def instant_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """No comparison with torch, for tests of what lies beside the engines."""
    monkeypatch.setattr(lafi_export.repository, "_compare", lambda *args, **options: None)


@pytest.fixture(scope="module")
def load_fast(checkpoint: Path) -> EngineLoader:
    """Torch in place of ONNX: `repository` was compared with the real runtimes already."""
    engines = load_torch_engines(checkpoint)

    def load(artifacts: Path, runtime: RuntimeName, precision: Precision, threads: int) -> Engines:
        return replace(engines, info=model_info(artifacts, runtime, precision))

    return load


@pytest.fixture(scope="module")
def load_broken(load_fast: EngineLoader) -> EngineLoader:
    """As `load_fast`, with a VAE decoder that is wrong by 1%."""

    def load(artifacts: Path, runtime: RuntimeName, precision: Precision, threads: int) -> Engines:
        engines = load_fast(artifacts, runtime, precision, threads)
        return replace(engines, vae_decoder=lambda latents: engines.vae_decoder(latents) * 1.01)

    return load


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, format="PNG")
    return buffer.getvalue()


def snapshot(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def read_config(repository: Path, name: str) -> model_config_pb2.ModelConfig:
    text = (repository / "models" / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_every_served_model_has_a_config_that_reads_back(repository: Path) -> None:
    info = load_model_info(repository / "artifacts")
    specs = served_models(info, with_denoiser=True)
    assert sorted(path.name for path in (repository / "models").iterdir()) == sorted(
        spec.name for spec in specs
    )
    for spec in specs:
        check_config(read_config(repository, spec.name), spec)


def check_config(config: model_config_pb2.ModelConfig, spec: ModelSpec) -> None:
    assert config.name == spec.name
    assert config.backend == "python"
    assert config.max_batch_size == spec.max_batch_size
    assert config.model_transaction_policy.decoupled == spec.decoupled
    assert config.HasField("dynamic_batching") == spec.dynamic_batching
    for written, wanted in ((config.input, spec.inputs), (config.output, spec.outputs)):
        assert [tensor.name for tensor in written] == [tensor.name for tensor in wanted]
        assert [tuple(tensor.dims) for tensor in written] == [tensor.shape for tensor in wanted]
        kinds = [model_config_pb2.DataType.Name(tensor.data_type) for tensor in written]
        expected = [tensor.dtype.replace("BYTES", "STRING") for tensor in wanted]
        assert kinds == [f"TYPE_{kind}" for kind in expected]


def test_models_are_told_where_the_artifacts_lie_and_what_runs_them(repository: Path) -> None:
    parameters = read_config(repository, "storyboard").parameters
    assert {key: value.string_value for key, value in parameters.items()} == {
        "artifacts": "../artifacts",
        "runtime": "onnxruntime",
        "precision": "f32",
    }
    assert (repository / "models" / parameters["artifacts"].string_value).resolve() == (
        repository / "artifacts"
    ).resolve()


def test_every_model_has_its_adapter(repository: Path) -> None:
    for config in (repository / "models").glob("*/config.pbtxt"):
        adapter = (config.parent / "1" / "model.py").read_text(encoding="utf-8")
        assert "class TritonPythonModel" in adapter


def test_artifacts_are_complete_and_hashed(repository: Path) -> None:
    artifacts = repository / "artifacts"
    info = load_model_info(artifacts)
    weights = [f"weights/{part}.safetensors" for part in ("text_encoder", "vae", "unet")]
    assert info.onnx_sha256 == {n: file_sha256(artifacts / n) for n in (*FILES, *weights)}
    text, vae, unet = weights
    used = ((text,), (vae,), (vae,), (unet,), (unet,))
    assert info.onnx_weights == dict(zip(FILES, used, strict=True))
    # The graphs hold next to nothing themselves.
    assert (artifacts / unet).stat().st_size > 2 * (artifacts / "denoiser.onnx").stat().st_size
    assert (info.engine, info.precision) == ("onnxruntime", "f32")
    assert (artifacts / "tokenizer" / "tokenizer_config.json").is_file()
    assert (artifacts / "scheduler" / "scheduler_config.json").is_file()


def test_the_parity_report_is_kept(repository: Path) -> None:
    text = (repository / "artifacts" / "parity.json").read_text(encoding="utf-8")
    report = ParityReport.model_validate_json(text)
    report.check()
    assert {row.runtime for row in report.engines} == {"onnxruntime", "openvino"}
    assert max(row.max_error for row in report.engines) < 1e-5
    assert len(report.pictures) == 3
    table = (repository / "artifacts" / "parity.md").read_text(encoding="utf-8")
    assert table.count("| yes |") == len(report.engines) + len(report.pictures)


@pytest.mark.usefixtures("instant_trace")
def test_a_broken_engine_fails_the_export_and_leaves_nothing(
    checkpoint: Path, tmp_path: Path, load_broken: EngineLoader
) -> None:
    out = tmp_path / "repository"
    with pytest.raises(ParityError, match=r"vae_decoder \(onnxruntime, f32\).*allowed 1e-04"):
        export_checkpoint(checkpoint, out, load_engines=load_broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("instant_trace")
def test_an_earlier_export_stays_when_a_new_one_fails_and_goes_when_it_succeeds(
    checkpoint: Path,
    repository: Path,
    tmp_path: Path,
    load_fast: EngineLoader,
    load_broken: EngineLoader,
) -> None:
    out = tmp_path / "repository"
    shutil.copytree(repository, out)
    (out / "models" / "left_over").mkdir()
    before = snapshot(out)
    with pytest.raises(ParityError):
        export_checkpoint(checkpoint, out, load_engines=load_broken)
    assert snapshot(out) == before
    export_checkpoint(checkpoint, out, runtime="onnxruntime", denoiser=True, load_engines=load_fast)
    assert not (out / "models" / "left_over").exists()
    assert snapshot(out).keys() == snapshot(repository).keys()
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.usefixtures("instant_trace")
def test_what_finishes_an_export_sees_all_of_it_and_may_refuse_it(
    checkpoint: Path, repository: Path, tmp_path: Path, load_fast: EngineLoader
) -> None:
    out = tmp_path / "repository"
    shutil.copytree(repository, out)
    before = snapshot(out)
    seen: list[dict[str, str]] = []

    def finish(folder: Path) -> None:
        seen.append(snapshot(folder))
        raise BuildError("denoiser.plan: no")

    with pytest.raises(BuildError, match=r"denoiser\.plan: no"):
        export_checkpoint(
            checkpoint,
            out,
            runtime="onnxruntime",
            denoiser=True,
            load_engines=load_fast,
            finish=finish,
        )
    assert seen[0].keys() == before.keys()
    assert snapshot(out) == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.usefixtures("instant_trace", "instant_comparison")
def test_a_recogniser_is_served_with_the_model_and_what_was_enrolled_stays(
    checkpoint: Path, recogniser_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repository"
    for _ in range(2):
        export_checkpoint(
            checkpoint,
            out,
            runtime="openvino",
            recogniser=recogniser_folder,
        )
        info = load_model_info(out / "artifacts")
        assert info.recogniser is not None
        copied = out / "artifacts" / "recogniser"
        assert info.recogniser.sha256 == {
            name: file_sha256(copied / name) for name in ("student.onnx", "recogniser.json")
        }
        specs = served_models(info)
        assert {"identity", "identity_enrolment"} < {spec.name for spec in specs}
        for spec in specs:
            check_config(read_config(out, spec.name), spec)
        parameters = read_config(out, "identity_enrolment").parameters
        assert {key: value.string_value for key, value in parameters.items()} == {
            "artifacts": "../artifacts",
            "runtime": "onnxruntime",
            "state": "../state",
        }
        identity = open_identity(exported_recogniser(out / "artifacts", info), out / "state")
        assert identity.enrol("mia", [picture()]) == 1
    assert identity.characters() == ("mia",)


@pytest.mark.usefixtures("instant_trace", "instant_comparison")
def test_a_recogniser_beside_the_checkpoint_is_taken(
    checkpoint: Path,
    make_recogniser: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "weights").symlink_to(checkpoint)
    make_recogniser(tmp_path / "recogniser")
    out = tmp_path / "repository"
    export_checkpoint(tmp_path / "weights", out)
    assert load_model_info(out / "artifacts").recogniser is not None


def test_a_recogniser_that_does_not_fit_is_refused_before_anything(
    checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactsError, match=r"recogniser\.json: no such file"):
        export_checkpoint(checkpoint, tmp_path / "out", recogniser=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("instant_trace")
def test_the_denoiser_is_a_served_model_only_if_asked_for(
    checkpoint: Path, tmp_path: Path, load_fast: EngineLoader
) -> None:
    export_checkpoint(checkpoint, tmp_path, runtime="openvino", load_engines=load_fast)
    assert not (tmp_path / "models" / "denoiser").exists()
    assert read_config(tmp_path, "storyboard").parameters["runtime"].string_value == "openvino"
    assert load_model_info(tmp_path / "artifacts").engine == "openvino"


@pytest.mark.usefixtures("instant_trace")
def test_what_is_changed_of_a_graph_is_recorded_and_used(
    checkpoint: Path, tmp_path: Path, load_fast: EngineLoader
) -> None:
    changes: tuple[GraphChange, ...] = ("split_gates",)
    asked = {"runtime": "openvino", "graph_changes": changes, "load_engines": load_fast}
    report = export_checkpoint(checkpoint, tmp_path, **asked)  # type: ignore[arg-type]
    assert load_model_info(tmp_path / "artifacts").graph_changes == changes
    assert report.graph_changes == changes
    line = "changes of the denoiser's graph for OpenVINO: split_gates"
    assert line in (tmp_path / "artifacts" / "parity.md").read_text().splitlines()


@pytest.mark.usefixtures("instant_trace")
def test_a_large_model_is_compared_with_what_will_run_it_and_on_one_size(
    checkpoint: Path, tmp_path: Path, load_fast: EngineLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lafi_export.repository, "LARGE", 1000)
    report = export_checkpoint(checkpoint, tmp_path, runtime="openvino", load_engines=load_fast)
    assert {(row.runtime, row.precision) for row in report.engines} == {("openvino", "f32")}
    denoiser = [row.case for row in report.engines if row.engine == "denoiser"]
    assert denoiser == [f"batch 2, 2 x 2 steps, {how}" for how in ROUTED]
    assert report.pictures == ()


def test_a_folder_of_something_else_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="holds something that `lafi export` did not write"):
        export_checkpoint(checkpoint, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("a file")
    with pytest.raises(ExportError, match="allowed: a new folder, an empty one"):
        export_checkpoint(checkpoint, out)
    assert out.read_text() == "a file"


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(checkpoint: Path, tmp_path: Path, part: str) -> None:
    broken = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, broken)
    shutil.rmtree(broken / part)
    with pytest.raises(CheckpointError, match=part):
        export_checkpoint(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_precision_that_cannot_run_is_refused_at_once(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactsError, match="got 'bf16', allowed f32 with onnxruntime"):
        export_checkpoint(checkpoint, tmp_path / "out", runtime="onnxruntime", precision="bf16")


@pytest.mark.slow
@pytest.mark.usefixtures("instant_trace")
def test_an_export_in_bf16_draws_what_torch_draws(checkpoint: Path, tmp_path: Path) -> None:
    if not cpu_has_bf16():
        pytest.skip("this CPU has no bf16")
    out = tmp_path / "out"
    report = export_checkpoint(checkpoint, out, precision="bf16", threads=1)
    assert report.passed
    judged = {(row.engine, row.precision) for row in report.engines}
    assert {("denoiser", "bf16"), ("reference", "bf16"), ("vae_decoder", "f32")} <= judged
    assert {"bf16"} == {picture.precision for picture in report.pictures}
    assert all(30 <= picture.psnr < 100 for picture in report.pictures)
    assert load_model_info(out / "artifacts").precision == "bf16"
    of_decoder = load_model_info(out / "artifacts").decoder_precision
    assert ("vae_decoder", of_decoder) in judged
    assert 'string_value: "bf16"' in (out / "models/storyboard/config.pbtxt").read_text()
