"""An upscaler that calls the served model `upscaler`."""

import numpy as np

from lafi.model.upscaler_files import UpscalerInfo
from lafi.ports.upscaler import Pictures
from lafi.serving.call_model import CallModel
from lafi.wire.model_spec import ENLARGED, FACTOR, IMAGE, upscaler_spec


class RemoteUpscaler:
    """`lafi.ports.upscaler.Upscaler` whose calls Triton Server batches with others."""

    def __init__(self, info: UpscalerInfo, call_model: CallModel) -> None:
        """info: of the networks that the served model has."""
        self.info = info
        self._spec = upscaler_spec()
        self._call_model = call_model

    def __call__(self, pictures: Pictures, factor: int) -> Pictures:
        """As `Upscaler`."""
        most = self._spec.max_batch_size
        return np.concatenate(
            [self._call(pictures[i : i + most], factor) for i in range(0, len(pictures), most)]
        )

    def _call(self, pictures: Pictures, factor: int) -> Pictures:
        factors = np.full((len(pictures), 1), factor, np.int32)
        answer = self._call_model(self._spec.name, {IMAGE: pictures, FACTOR: factors})
        # A copy, because the array may lie in memory that is freed with the response.
        return np.array(answer[ENLARGED], dtype=np.uint8)
