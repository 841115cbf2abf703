"""The served model `identity`: a picture in, its embedding and its character out."""

from __future__ import annotations

from typing import Any

from lafi.engine.onnx.recogniser import exported_recogniser
from lafi.identity.service import open_identity
from lafi.serving.batched_engine import BatchedEngine, image_rows
from lafi.serving.identity_engine import IdentityEngine
from lafi.serving.picture_decoder import PictureDecoder
from lafi.wire.model_spec import identity_spec
from lafi_repository.bridge import ModelSettings, answer_requests


class TritonPythonModel:
    """Answers each batch of Triton Server's dynamic batching with one engine call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the network. Characters enrolled later are found from the next request on."""
        settings = ModelSettings(args)
        recogniser = exported_recogniser(settings.artifacts, settings.info(), settings.threads)
        self._engine = BatchedEngine(
            identity_spec(recogniser.info),
            IdentityEngine(recogniser, open_identity(recogniser, settings.state)),
            prepare=image_rows(recogniser.info.side, PictureDecoder().decode),
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        responses: list[Any] = answer_requests(self._engine, requests)
        return responses
