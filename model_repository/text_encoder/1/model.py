"""The served model `text_encoder`: token ids in, encoded prompts out."""

from __future__ import annotations

from typing import Any

from lafi.contract import text_encoder_spec
from lafi.engine.onnx import load_text_encoder, model_info
from lafi.served_engine import BatchedEngine, check_token_ids
from lafi_repository.bridge import ModelSettings, answer_requests, load_tokenizer


class TritonPythonModel:
    """Answers the requests that Triton Server's dynamic batching brings with one engine call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine."""
        settings = ModelSettings(args)
        info = model_info(*settings.engine)
        engine = load_text_encoder(settings.artifacts, settings.runtime, settings.threads)
        check = check_token_ids(len(load_tokenizer(settings.artifacts)))
        self._engine = BatchedEngine(text_encoder_spec(info), engine, check)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        responses: list[Any] = answer_requests(self._engine, requests)
        return responses
