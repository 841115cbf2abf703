"""The served model `vae_encoder`: images in, latents out."""

from __future__ import annotations

from typing import Any

from lafi.board.limits import MAX_SIDE
from lafi.model.artifacts import VAE_ENCODER
from lafi.serving.batched_engine import BatchedEngine, check_images
from lafi.wire.model_spec import vae_encoder_spec
from lafi_repository.bridge import ModelSettings, answer_requests


class TritonPythonModel:
    """Answers the requests that Triton Server's dynamic batching brings with one engine call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine."""
        settings = ModelSettings(args)
        info = settings.info()
        run = settings.graph(VAE_ENCODER)
        check = check_images(info.side_multiple, MAX_SIDE)
        self._engine = BatchedEngine(
            vae_encoder_spec(info), lambda rows: run({"images": rows}), check
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        responses: list[Any] = answer_requests(self._engine, requests)
        return responses
