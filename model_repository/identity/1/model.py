"""The served model `identity`: a picture in, its embedding and who is in it out."""

from __future__ import annotations

from typing import Any

from lafi.engine.onnx.recogniser import exported_recogniser
from lafi.identity.service import open_identity
from lafi.serving.batched_engine import BatchedEngine, image_rows
from lafi.serving.identity_engine import IdentityEngine
from lafi.wire.model_spec import identity_spec
from lafi_repository.bridge import ModelSettings, answer_requests


class TritonPythonModel:
    """Answers the requests that Triton Server's dynamic batching brings with one engine call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the network; whoever is enrolled later is known from the next request on."""
        settings = ModelSettings(args)
        recogniser = exported_recogniser(settings.artifacts, settings.info(), settings.threads)
        self._engine = BatchedEngine(
            identity_spec(recogniser.info),
            IdentityEngine(recogniser, open_identity(recogniser, settings.state)),
            prepare=image_rows(recogniser.info.side),
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        responses: list[Any] = answer_requests(self._engine, requests)
        return responses
