"""The files of the picture classifier and its facts, read without loading it.

<exported folder>/classifier/network.onnx, classifier.json, LICENSE
"""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lafi.model.artifacts import ArtifactsError, check_file

CLASSIFIER: Final = "classifier"
"""The folder of the classifier in an exported model."""
NETWORK: Final = "network.onnx"
INFO: Final = "classifier.json"
THRESHOLD: Final = 0.5
"""Where nothing else is said; the default of the package that open_nsfw comes from."""
PUT_IN: Final = "lafi export-safety --out REPO"
"""The command that gives a repository a classifier."""
_AGAIN: Final = f"run `{PUT_IN}` again"


class ClassifierInfo(BaseModel):
    """Facts of a picture classifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    threshold: float = Field(gt=0, lt=1)
    """From this score on a picture is one that is not wanted."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of its ONNX file."""


def read_classifier_info(artifacts: Path) -> ClassifierInfo | None:
    """The facts of an exported model's classifier; None if it has none.

    Raises ArtifactsError for a `classifier.json` that is damaged.
    """
    path = Path(artifacts) / CLASSIFIER / INFO
    if not path.is_file():
        return None
    try:
        return ClassifierInfo.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactsError(f"{path}: {error}; {_AGAIN}") from error


def checked_classifier(artifacts: Path) -> ClassifierInfo | None:
    """As `read_classifier_info`, the network's file compared with its hash. It is not loaded.

    Raises ArtifactsError for a file that is missing, damaged or changed.
    """
    info = read_classifier_info(artifacts)
    if info is None:
        return None
    network = Path(artifacts) / CLASSIFIER / NETWORK
    check_file(network, info.sha256, facts=INFO, again=_AGAIN)
    return info
