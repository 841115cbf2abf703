"""The picture classifier as an ONNX file, in ONNX Runtime. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from lafi.board.letterbox import Pixels
from lafi.engine.onnx.graph import RunGraph, open_graph
from lafi.model.artifacts import ArtifactsError
from lafi.model.classifier_files import (
    CLASSIFIER,
    NETWORK,
    PUT_IN,
    ClassifierInfo,
    checked_classifier,
)
from lafi.ports.classifier import SIDE, Scores, classifier_row

INPUT: Final = "input:0"
_MEAN: Final = np.array([104, 117, 123], dtype=np.float32)
"""Of blue, green and red over the pictures that open_nsfw was trained on."""
_WANTED: Final = f"{INPUT} (B, {SIDE}, {SIDE}, 3) -> two shares (B, 2) that add up to 1"


class OnnxClassifier:
    """As `PictureClassifier`: BGR less its mean in, shares of wanted and not wanted out."""

    def __init__(self, run: RunGraph, info: ClassifierInfo) -> None:
        self._run = run
        self.info = info

    def __call__(self, pictures: Sequence[Pixels]) -> Scores:
        """As `PictureClassifier`."""
        return self.scores(np.stack([classifier_row(each) for each in pictures]))

    def scores(self, rows: Pixels) -> Scores:
        """(B, 224, 224, 3) RGB uint8, as `classifier_row` gives it -> (B,).

        Raises ArtifactsError for another output than a classifier's.
        """
        seen = np.ascontiguousarray(rows[..., ::-1].astype(np.float32) - _MEAN)
        shares = self._run({INPUT: seen})[0]
        whole = shares.sum(-1) if shares.ndim else shares
        if shares.shape != (len(rows), 2) or not np.allclose(whole, 1.0, atol=1e-3):
            sums = whole.reshape(-1)[:2].tolist()
            got = f"shape {shares.shape}, sums {sums}"
            raise ArtifactsError(f"{NETWORK}: got {got}, allowed {_WANTED}")
        return shares[:, 1].astype(np.float32)


def load_classifier(artifacts: Path, threads: int = 0) -> OnnxClassifier:
    """The classifier of an exported folder. threads: CPU threads, 0 for all cores.

    Raises ArtifactsError for a folder without one, a changed file, and a network with another
    interface.
    """
    info = checked_classifier(artifacts)
    if info is None:
        raise ArtifactsError(f"{artifacts}: got no {CLASSIFIER}, allowed one; {PUT_IN}")
    return tried(Path(artifacts) / CLASSIFIER / NETWORK, info, threads)


def tried(path: Path, info: ClassifierInfo, threads: int = 0) -> OnnxClassifier:
    """A network's file that has judged a picture. Raises ArtifactsError for one that cannot."""
    try:
        found = OnnxClassifier(open_graph(path, "onnxruntime", "f32", threads), info)
        found.scores(np.zeros((2, SIDE, SIDE, 3), np.uint8))
    except ArtifactsError:
        raise
    except Exception as error:  # ONNX Runtime raises many types of its own
        raise ArtifactsError(
            f"{path}: got a network that fails ({error}), allowed {_WANTED}"
        ) from (error)
    return found
