"""Networks in a model repository: put in, kept by a later export, served."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from google.protobuf import text_format
from onnx import TensorProto
from safetensors.torch import save_file
from tritonclient.grpc import model_config_pb2

import lafi_export.upscaler.repository
from lafi.engine.onnx.upscaler import load_upscaler
from lafi.model.artifacts import ArtifactsError
from lafi.model.info import ModelInfoError
from lafi.model.upscaler_files import NETWORK, read_upscaler_info
from lafi_export.parity_report import ParityError
from lafi_export.upscaler.network import CompactNetwork
from lafi_export.upscaler.repository import (
    UpscalerExportError,
    add_upscalers,
    choose_upscalers,
    export_upscaler,
    parity_of,
    serve_upscaler,
    write_upscaler_model,
)
from lafi_export.upscaler.source import SourceError
from model_infos import bare_repository

BUNDLED = Path(__file__).parents[3] / "tiny_model"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What matters here of what `lafi export` writes."""
    return bare_repository(tmp_path / "repository")


def network(factor: int, seed: int = 0) -> CompactNetwork:
    torch.manual_seed(seed)
    made = CompactNetwork(width=16, convolutions=1, factor=factor)
    return made.half().float().requires_grad_(False)


def weights(folder: Path, factor: int, seed: int = 0) -> str:
    path = folder / f"net{seed}.safetensors"
    save_file(network(factor, seed).state_dict(), path)
    return str(path)


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_an_exported_network_enlarges_as_torch_does(repository: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    facts = export_upscaler(weights(tmp_path, 3), repository, threads=1, tell=steps.append)
    assert (facts.name, facts.factor, facts.reach, facts.added) == ("net0", 3, 3, True)
    assert parity_of(repository, 3).passed
    assert len(steps) == 3
    folder = repository / "artifacts/upscaler"
    loaded = load_upscaler(folder, "onnxruntime", threads=1)
    assert loaded is not None
    assert loaded.info == read_upscaler_info(folder)
    given = np.random.default_rng(0).integers(0, 256, (2, 9, 21, 3), dtype=np.uint8)
    made = network(3)(torch.from_numpy(given).permute(0, 3, 1, 2) / 255).clamp(0, 1) * 255
    expected = made.round().permute(0, 2, 3, 1).numpy()
    assert np.abs(loaded(given, 3) - expected).max() <= 1


def test_weights_are_stored_in_half_and_not_rounded(repository: Path, tmp_path: Path) -> None:
    export_upscaler(weights(tmp_path, 2), repository, threads=1)
    model = onnx.load(repository / "artifacts/upscaler/x2" / NETWORK)
    kinds = {tensor.data_type for tensor in model.graph.initializer if np.prod(tensor.dims) > 1023}
    assert kinds == {TensorProto.FLOAT16}
    state = network(2).state_dict() | {"body.2.weight": torch.full((16, 16, 3, 3), 0.1)}
    save_file(state, tmp_path / "odd.safetensors")
    export_upscaler(str(tmp_path / "odd.safetensors"), repository, threads=1)
    model = onnx.load(repository / "artifacts/upscaler/x2" / NETWORK)
    assert TensorProto.FLOAT in {
        tensor.data_type for tensor in model.graph.initializer if np.prod(tensor.dims) > 1023
    }


def test_a_repository_of_another_format_gets_none(repository: Path, tmp_path: Path) -> None:
    (repository / "artifacts" / "lafi.json").write_text("{}")
    with pytest.raises(ModelInfoError, match="format of the repository: got none"):
        export_upscaler(weights(tmp_path, 2), repository)
    assert not (repository / "artifacts" / "upscaler").exists()


def test_a_second_network_of_a_factor_takes_the_place_of_the_first(
    repository: Path, tmp_path: Path
) -> None:
    for factor, seed in ((2, 0), (4, 1), (2, 2)):
        export_upscaler(weights(tmp_path, factor, seed), repository, threads=1)
    info = read_upscaler_info(repository / "artifacts/upscaler")
    assert info is not None
    assert [(n.factor, n.name) for n in info.networks] == [(2, "net2"), (4, "net1")]
    left = [path.name for path in (repository / "artifacts").iterdir()]
    assert sorted(left) == ["lafi.json", "lafi.json.sha256", "upscaler"]


def test_after_an_error_the_repository_is_as_it_was(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_upscaler(weights(tmp_path, 2), repository, threads=1)
    before = everything(repository)
    with pytest.raises(SourceError):
        export_upscaler(str(tmp_path / "none.pth"), repository)
    write = lafi_export.upscaler.repository.write_network

    def wrong(given: torch.nn.Module, path: Path) -> None:
        write(network(2, seed=9), path)

    monkeypatch.setattr(lafi_export.upscaler.repository, "write_network", wrong)
    with pytest.raises(ParityError, match=r"upscaler \(onnxruntime, f32\) on noise"):
        export_upscaler(weights(tmp_path, 2, seed=3), repository, threads=1)
    assert everything(repository) == before


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UpscalerExportError, match=r"--out: got .*allowed a repository: lafi export"
    ):
        export_upscaler(weights(tmp_path, 2), tmp_path)


def test_the_bundled_network_comes_with_the_bundled_model(repository: Path) -> None:
    chosen = choose_upscalers(BUNDLED / "weights", repository)
    assert [str(one) for one in chosen] == ["upscaler: realesr-animevideov3-x4, 4 times"]
    add_upscalers(chosen, repository / "artifacts")
    folder = repository / "artifacts/upscaler/x4"
    assert "Xintao Wang" in (folder / "LICENSE").read_text("utf-8")
    assert load_upscaler(folder.parent, "onnxruntime", threads=1) is not None
    assert parity_of(repository, 4).passed


def test_what_was_put_in_stays_and_what_came_along_is_renewed(
    repository: Path, tmp_path: Path
) -> None:
    add_upscalers(choose_upscalers(BUNDLED / "weights", repository), repository / "artifacts")
    export_upscaler(weights(tmp_path, 2), repository, threads=1)
    (repository / "artifacts/upscaler/x2/network.plan").write_bytes(b"of one machine")
    elsewhere = tmp_path / "model/weights"
    assert [str(one) for one in choose_upscalers(elsewhere, repository)] == [
        "upscaler: net0, 2 times, as in the earlier export"
    ]
    export_upscaler(weights(tmp_path, 4, seed=5), repository, threads=1)
    chosen = choose_upscalers(BUNDLED / "weights", repository)
    assert [one.facts.name for one in chosen] == ["net0", "net5"]
    add_upscalers(chosen, tmp_path / "new")
    info = read_upscaler_info(tmp_path / "new/upscaler")
    assert info is not None
    assert [one.added for one in info.networks] == [True, True]
    assert not (tmp_path / "new/upscaler/x2/network.plan").exists()


def test_a_changed_network_is_refused_before_anything_is_exported(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / "upscaler", tmp_path / "upscaler")
    (tmp_path / "upscaler/x4" / NETWORK).write_bytes(b"other")
    with pytest.raises(ArtifactsError, match=r"network\.onnx: got SHA-256"):
        choose_upscalers(tmp_path / "weights", tmp_path / "out")


def test_the_served_model(repository: Path) -> None:
    models = repository / "models"
    write_upscaler_model(models, repository / "artifacts", "onnxruntime")
    assert not (models / "upscaler").exists()
    add_upscalers(choose_upscalers(BUNDLED / "weights", repository), repository / "artifacts")
    (models / "upscaler").mkdir()
    serve_upscaler(repository)
    text = (models / "upscaler/config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert [tensor.name for tensor in config.input] == ["IMAGE", "FACTOR"]
    assert config.parameters["runtime"].string_value == "onnxruntime"
    assert config.HasField("dynamic_batching")
    assert (models / "upscaler/1/model.py").is_file()
