"""The served model `text_encoder`: token ids in, encoded prompts out."""

from __future__ import annotations

from typing import Any

from lafi.model.artifacts import TEXT_ENCODER
from lafi.model.families.registry import text_stack_of
from lafi.serving.batched_engine import BatchedEngine, check_token_ids
from lafi.wire.model_spec import text_encoder_spec
from lafi_repository.bridge import ModelSettings, answer_requests


class TritonPythonModel:
    """Answers each batch of Triton Server's dynamic batching with one engine call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine."""
        settings = ModelSettings(args)
        info = settings.info()
        run = settings.graph(TEXT_ENCODER)
        check = check_token_ids(*text_stack_of(info).vocabularies(settings.artifacts, info))
        self._engine = BatchedEngine(
            text_encoder_spec(info), lambda rows: run({"token_ids": rows}), check
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        responses: list[Any] = answer_requests(self._engine, requests)
        return responses
