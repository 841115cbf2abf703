"""The files of a recogniser, and its facts, read without loading it."""

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from lafi.model.artifacts import ArtifactsError
from lafi.model.info import ModelInfo, RecogniserInfo

RECOGNISER: Final = "recogniser"
"""The folder of the recogniser in an exported model."""
STUDENT: Final = "student.onnx"
INFO: Final = "recogniser.json"
DESCRIBER: Final = "describer.onnx"
"""The text tower, if the recogniser has one."""
FILES: Final = (STUDENT, INFO)
"""The served network, the student. Its teacher has the same interface but is larger."""


def read_recogniser_info(folder: Path) -> RecogniserInfo:
    """The facts in `recogniser.json`. Raises ArtifactsError."""
    path = Path(folder) / INFO
    try:
        return RecogniserInfo.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactsError(
            f"{path}: no such file; allowed: a folder with {STUDENT} and {INFO}"
        ) from None
    except (OSError, ValidationError) as error:
        raise ArtifactsError(f"{path}: {error}") from error


def facts_of(info: ModelInfo) -> RecogniserInfo:
    """The facts of an exported model's recogniser. Raises ArtifactsError if it has none."""
    if info.recogniser is None:
        again = "export it with: lafi export CHECKPOINT --recogniser FOLDER"
        raise ArtifactsError(f"{info.name}: got no recogniser, allowed one; {again}")
    return info.recogniser
