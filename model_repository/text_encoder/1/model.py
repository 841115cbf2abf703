"""The served model `text_encoder`: token ids in, encoded prompts out."""

from __future__ import annotations

from typing import Any

from lafi.model.artifacts import TEXT_ENCODER, tokenizer_folders
from lafi.model.tokenizer_files import vocabulary_size
from lafi.serving.batched_engine import BatchedEngine, check_token_ids
from lafi.wire.model_spec import text_encoder_spec
from lafi_repository.bridge import ModelSettings, answer_requests


class TritonPythonModel:
    """Answers the requests that Triton Server's dynamic batching brings with one engine call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine."""
        settings = ModelSettings(args)
        info = settings.info()
        run = settings.graph(TEXT_ENCODER)
        folders = tokenizer_folders(settings.artifacts, info)
        check = check_token_ids(*(vocabulary_size(folder) for folder in folders))
        self._engine = BatchedEngine(
            text_encoder_spec(info), lambda rows: run({"token_ids": rows}), check
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        responses: list[Any] = answer_requests(self._engine, requests)
        return responses
