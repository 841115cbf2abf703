"""A classifier that calls the served model `safety`."""

from collections.abc import Sequence

import numpy as np

from lafi.board.letterbox import Pixels
from lafi.model.classifier_files import ClassifierInfo
from lafi.ports.classifier import Scores, classifier_row
from lafi.serving.call_model import CallModel
from lafi.wire.model_spec import IMAGE, SCORE, safety_spec


class RemoteClassifier:
    """`PictureClassifier` whose calls Triton Server batches with others."""

    def __init__(self, info: ClassifierInfo, call_model: CallModel) -> None:
        """info: of the network that the served model has."""
        self.info = info
        self._spec = safety_spec()
        self._call_model = call_model

    def __call__(self, pictures: Sequence[Pixels]) -> Scores:
        """As `PictureClassifier`."""
        rows = np.stack([classifier_row(each) for each in pictures])
        most = self._spec.max_batch_size
        found = [
            self._call_model(self._spec.name, {IMAGE: rows[start : start + most]})[SCORE]
            for start in range(0, len(rows), most)
        ]
        return np.concatenate(found).reshape(-1).astype(np.float32)
