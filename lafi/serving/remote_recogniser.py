"""A recogniser that calls the served model `identity`."""

import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from lafi.board.letterbox import Pixels, fit_pixels
from lafi.model.info import ModelInfo
from lafi.model.recogniser_files import STUDENT, facts_of
from lafi.ports.recogniser import Embeddings
from lafi.serving.call_model import CallModel
from lafi.wire.model_spec import IMAGE, identity_spec


class RemoteRecogniser:
    """`Recogniser` that calls the served model `identity`, which batches these calls with others.

    Pictures are letterboxed to the network's size and sent as PNG files. The network sees the same
    pixels as without that.
    """

    def __init__(self, model: ModelInfo, call_model: CallModel) -> None:
        """model: one that was exported with a recogniser. Raises ArtifactsError for others."""
        self.info = facts_of(model)
        self.sha256 = self.info.sha256[STUDENT]
        self._spec = identity_spec(self.info)
        self._call_model = call_model

    def __call__(self, pictures: Sequence[Pixels]) -> Embeddings:
        """As `Recogniser`."""
        return np.concatenate([*self._calls([self._file(picture) for picture in pictures])])

    def _calls(self, files: Sequence[bytes]) -> Iterator[Embeddings]:
        for start in range(0, len(files), self._spec.max_batch_size):
            rows = files[start : start + self._spec.max_batch_size]
            column = np.array(rows, dtype=object).reshape(-1, 1)
            answer = self._call_model(self._spec.name, {IMAGE: column})[self._spec.outputs[0].name]
            # A copy, because the array may lie in memory that is freed with the response.
            yield np.array(answer, dtype=np.float32)

    def _file(self, pixels: Pixels) -> bytes:
        buffer = io.BytesIO()
        fitted = fit_pixels(pixels, self.info.side, self.info.side)
        Image.fromarray(fitted, mode="RGB").save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()
