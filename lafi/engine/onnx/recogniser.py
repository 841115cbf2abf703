"""The recogniser: embeds pictures; embeddings of the same character are near each other.

Knows pictures, not characters. Imports no torch, so that the served models start fast.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from lafi.board.letterbox import Pixels, fit_pixels
from lafi.engine.onnx.graph import RunGraph, open_graph
from lafi.model.artifacts import ArtifactsError, check_file, file_sha256
from lafi.model.info import ModelInfo, RecogniserInfo
from lafi.model.recogniser_files import (
    DESCRIBER,
    FILES,
    INFO,
    RECOGNISER,
    STUDENT,
    facts_of,
    read_recogniser_info,
)
from lafi.ports.recogniser import Embeddings, picture_row

MAX_BATCH: Final = 16
"""The most pictures in one call of the network."""

_UNIT_TOLERANCE = 1e-3


class OnnxRecogniser:
    """`Recogniser` on an ONNX file: `image` (B, 3, S, S) in [-1, 1] -> `embedding` (B, D)."""

    def __init__(self, run: RunGraph, info: RecogniserInfo, sha256: str) -> None:
        self._run = run
        self.info = info
        self.sha256 = sha256

    def __call__(self, pictures: Sequence[Pixels]) -> Embeddings:
        """Like `Recogniser`; pictures are letterboxed to S x S."""
        side = self.info.side
        return self.embed(
            np.stack([picture_row(fit_pixels(each, side, side)) for each in pictures])
        )

    def embed(self, rows: npt.NDArray[np.float32]) -> Embeddings:
        """(B, 3, S, S) float32 in [-1, 1] -> (B, D). Raises ArtifactsError for another output."""
        chunks = (rows[start : start + MAX_BATCH] for start in range(0, len(rows), MAX_BATCH))
        given, width = f"{STUDENT}: embedding", self.info.width
        return np.concatenate(
            [unit_rows(self._run({"image": chunk})[0], width, given) for chunk in chunks]
        )


def unit_rows(embeddings: Embeddings, width: int, given: str) -> Embeddings:
    """A network's output, checked: (B, width), each row of unit length.

    given: names the network in the error. Raises ArtifactsError.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] != width:
        raise ArtifactsError(f"{given}: got shape {embeddings.shape}, allowed (B, {width})")
    lengths = np.linalg.norm(embeddings, axis=1)
    if not bool((np.abs(lengths - 1) <= _UNIT_TOLERANCE).all()):
        raise ArtifactsError(f"{given}: got lengths {lengths[:4]}, allowed 1")
    return embeddings.astype(np.float32, copy=False)


def load_recogniser(folder: Path, threads: int = 0) -> OnnxRecogniser:
    """A recogniser's folder, ready to run in ONNX Runtime.

    threads: CPU threads, 0 for all cores.
    Raises ArtifactsError for a missing file, or a network with another interface.
    """
    info = _with_its_describer(read_recogniser_info(folder), Path(folder) / DESCRIBER)
    path = Path(folder) / STUDENT
    if not path.is_file():
        raise ArtifactsError(f"{path}: no such file; allowed: a folder with {STUDENT} and {INFO}")
    recogniser = OnnxRecogniser(
        open_graph(path, "onnxruntime", "f32", threads), info, file_sha256(path)
    )
    _try_once(recogniser, path)
    return recogniser


def _with_its_describer(info: RecogniserInfo, path: Path) -> RecogniserInfo:
    """The facts with the text tower's hash, as in an exported model: descriptions belong to it."""
    if info.describer is None or not path.is_file():
        return info
    return info.model_copy(update={"sha256": {**info.sha256, DESCRIBER: file_sha256(path)}})


def _try_once(recogniser: OnnxRecogniser, path: Path) -> None:
    side = recogniser.info.side
    ramp = np.linspace(-1, 1, 2 * 3 * side * side, dtype=np.float32).reshape(2, 3, side, side)
    try:
        recogniser.embed(ramp)
    except ArtifactsError:
        raise
    except Exception as error:
        # ONNX Runtime raises many types of its own; their texts name inputs and shapes.
        wanted = f"image (B, 3, {side}, {side}) -> embedding (B, {recogniser.info.width})"
        raise ArtifactsError(f"{path}: got a network that fails ({error}), allowed {wanted}") from (
            error
        )


def exported_recogniser(artifacts: Path, info: ModelInfo, threads: int = 0) -> OnnxRecogniser:
    """The recogniser in an exported folder, whose facts are `info`.

    Raises ArtifactsError for a missing or changed file, and if there is no recogniser.
    """
    facts = facts_of(info)
    folder = Path(artifacts) / RECOGNISER
    for name in FILES:
        check_file(folder / name, facts.sha256.get(name))
    return load_recogniser(folder, threads=threads)
