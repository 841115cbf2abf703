"""Exports a recogniser beside a model: its files with their hashes, and its served models.

Knows files and configs, not training.
"""

import shutil
from importlib.resources import files
from pathlib import Path
from typing import Final

from lafi.engine.onnx.compiled import compiled_folder
from lafi.engine.onnx.describer import DESCRIBER_FILES, load_describer
from lafi.engine.onnx.recogniser import load_recogniser
from lafi.model.artifacts import file_sha256
from lafi.model.info import ModelInfo, RecogniserInfo
from lafi.model.recogniser_files import FILES, RECOGNISER, STUDENT
from lafi.wire.model_spec import InstanceKind, ModelSpec, config_pbtxt, identity_specs

STATE: Final = "state"
"""The folder of a repository in which served models store their data."""


def find_recogniser(checkpoint: Path, given: Path | None) -> Path | None:
    """The given folder, else `recogniser` beside the checkpoint if it exists."""
    if given is not None:
        return given
    beside = Path(checkpoint).absolute().parent / RECOGNISER
    return beside if (beside / STUDENT).is_file() else None


def check_recogniser(folder: Path) -> RecogniserInfo:
    """The facts of a recogniser. Runs it and its text tower, if any, once as a check.

    Raises ArtifactsError for a folder that lacks a file, or a network with another interface.
    """
    facts = load_recogniser(folder).info
    if facts.describer is not None:
        load_describer(Path(folder), facts)
    return facts


def add_recogniser(folder: Path, artifacts: Path, info: ModelInfo) -> ModelInfo:
    """Copy a recogniser into an exported folder; returns and saves the model's facts with it.

    Raises ArtifactsError for a folder that lacks a file, or a network with another interface.
    """
    facts = check_recogniser(folder)
    target = Path(artifacts) / RECOGNISER
    target.mkdir()
    names = FILES if facts.describer is None else (*FILES, *DESCRIBER_FILES)
    for name in names:
        shutil.copyfile(Path(folder) / name, target / name)
    hashes = {name: file_sha256(target / name) for name in names}
    info = info.model_copy(update={"recogniser": facts.model_copy(update={"sha256": hashes})})
    info.save(artifacts)
    return info


def write_identity_models(models: Path, artifacts: str, info: ModelInfo) -> None:
    """Configs and adapters of `identity` and `identity_enrolment`, if there is a recogniser.

    models: the folder of all served models. artifacts: relative to it. They always run on the CPU
    in ONNX Runtime, whatever runtime draws.
    """
    for spec in identity_specs(info):
        write_adapter(
            models / spec.name,
            spec,
            {"artifacts": artifacts, "runtime": "onnxruntime", "state": f"../{STATE}"},
        )


def write_adapter(
    folder: Path,
    spec: ModelSpec,
    parameters: dict[str, str],
    adapter: str = "",
    kind: InstanceKind = "KIND_CPU",
) -> None:
    """The config and the adapter of one served model of the Python backend.

    adapter: the name of its template, if it is not the model's name. kind: where it runs.
    """
    version = folder / "1"
    version.mkdir(parents=True)
    text = config_pbtxt(spec, parameters=parameters, kind=kind)
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    template = files("lafi_repository") / (adapter or spec.name) / "1" / "model.py"
    (version / "model.py").write_bytes(template.read_bytes())


def keep_state(before: Path, after: Path) -> None:
    """Copy the data of the served models from an earlier export, in its current state.

    Without compiled networks, which are those of the earlier one.
    """
    if (before / STATE).is_dir():
        compiled = shutil.ignore_patterns(compiled_folder(before / STATE).name)
        shutil.copytree(before / STATE, after / STATE, ignore=compiled)
