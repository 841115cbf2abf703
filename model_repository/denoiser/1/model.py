"""The served model `denoiser`, optional: one call of the denoiser, for tools that measure it."""

from __future__ import annotations

from typing import Any

from lafi.model.artifacts import DENOISER
from lafi.model.families.registry import input_ports
from lafi.serving.batched_engine import Answer, Array, check_denoiser_inputs
from lafi.wire.model_spec import denoiser_spec
from lafi_repository.bridge import ModelSettings, input_array, response


class TritonPythonModel:
    """Runs each request alone: rows of different requests must not read each other."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine."""
        settings = ModelSettings(args)
        info = settings.info()
        self._spec, self._ports = denoiser_spec(info), input_ports(info)
        self._run = settings.graph(DENOISER, settings.precision)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        return [response(self._spec, self._answer(r)) for r in requests]

    def _answer(self, request: Any) -> Answer:
        inputs = {spec.name: input_array(request, spec.name) for spec in self._spec.inputs}
        try:
            check_denoiser_inputs(inputs, self._ports)
            outputs: tuple[Array, ...] = self._run(inputs)
        except Exception as error:
            return error
        return outputs
