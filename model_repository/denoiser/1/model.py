"""The served model `denoiser`, optional: one call of the denoiser, for tools that measure it."""

from __future__ import annotations

from typing import Any

from lafi.contract import denoiser_spec
from lafi.engine.onnx import load_denoiser, model_info
from lafi.served_engine import Array, denoiser_batch
from lafi_repository.bridge import ModelSettings, input_array, response


class TritonPythonModel:
    """Runs each request alone: rows of different requests must not read each other."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine."""
        settings = ModelSettings(args)
        self._spec = denoiser_spec(model_info(*settings.engine))
        self._engine = load_denoiser(*settings.engine_on_threads)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        return [response(self._spec.outputs[0].name, self._answer(r)) for r in requests]

    def _answer(self, request: Any) -> Array | Exception:
        inputs = {spec.name: input_array(request, spec.name) for spec in self._spec.inputs}
        try:
            return self._engine(denoiser_batch(inputs)).numpy()
        except Exception as error:
            return error
