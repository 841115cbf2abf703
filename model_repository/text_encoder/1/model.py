"""The served model `text_encoder`: token ids in, encoded prompts out."""

from __future__ import annotations

from typing import Any

from lafi.model.artifacts import TEXT_ENCODER
from lafi.model.families.registry import text_stack_of
from lafi.serving.batched_engine import check_token_ids
from lafi.serving.text_engine import TextEngine
from lafi_repository.bridge import ModelSettings, input_arrays, response


class TritonPythonModel:
    """Answers each batch of Triton Server's dynamic batching with one engine call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine."""
        settings = ModelSettings(args)
        info = settings.info()
        run = settings.graph(TEXT_ENCODER)
        check = check_token_ids(*text_stack_of(info).vocabularies(settings.artifacts, info))
        self._engine = TextEngine(info, run, check)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        spec = self._engine.spec
        answers = self._engine.answer([input_arrays(request, spec) for request in requests])
        return [response(spec, answer) for answer in answers]
