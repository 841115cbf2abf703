"""Which runtimes draw a model right, and which of them is taken where none is asked for."""

from typing import Final

from lafi.engine.onnx.graph import RUNTIMES, RuntimeName
from lafi.model.artifacts import ArtifactsError
from lafi.model.families.registry import family_of
from lafi.model.info import ModelInfo

FIRST_CHOICE: Final[RuntimeName] = "openvino"


def runtimes_of(info: ModelInfo) -> tuple[RuntimeName, ...]:
    """Those that the model's family does not refuse."""
    refused = family_of(info).refused_runtimes
    return tuple(name for name in RUNTIMES if name not in refused)


def choose_runtime(info: ModelInfo, asked: RuntimeName | None) -> RuntimeName:
    """The one that is asked for; without one, OpenVINO where it draws the model right.

    Raises ArtifactsError for one that the model's family refuses.
    """
    allowed = runtimes_of(info)
    if asked is None:
        return FIRST_CHOICE if FIRST_CHOICE in allowed else allowed[0]
    if asked not in allowed:
        why = family_of(info).refused_runtimes[asked]
        raise ArtifactsError(
            f"runtime: got {asked!r}, allowed {', '.join(allowed)} with {info.family}: {why}"
        )
    return asked
