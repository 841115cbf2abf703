"""The served model `safety`: pictures in, how likely each is not safe for work out."""

from __future__ import annotations

from typing import Any

from lafi.engine.onnx.classifier import load_classifier
from lafi.serving.safety_engine import safety_engine
from lafi_repository.bridge import ModelSettings, answer_requests


class TritonPythonModel:
    """Answers each batch of Triton Server's dynamic batching with one call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the classifier."""
        settings = ModelSettings(args)
        self._engine = safety_engine(load_classifier(settings.artifacts, settings.threads))

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        responses: list[Any] = answer_requests(self._engine, requests)
        return responses
