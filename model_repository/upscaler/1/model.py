"""The served model `upscaler`: pictures and a factor in, larger pictures out."""

from __future__ import annotations

from typing import Any

from lafi.serving.upscaler_engine import UpscalerEngine
from lafi.serving.upscalers import load_served_upscaler
from lafi_repository.bridge import ModelSettings, input_arrays, response


class TritonPythonModel:
    """Answers each batch of Triton Server's dynamic batching with one call for each factor."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the networks."""
        settings = ModelSettings(args)
        upscaler = load_served_upscaler(
            settings.artifacts, settings.runtime, settings.threads, settings.state
        )
        self._engine = UpscalerEngine(upscaler)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        spec = self._engine.spec
        answers = self._engine.answer([input_arrays(request, spec) for request in requests])
        return [response(spec, answer) for answer in answers]
