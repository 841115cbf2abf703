"""The served model `vae_decoder`: latents in, images out."""

from __future__ import annotations

from typing import Any

from lafi.board.limits import MAX_SIDE
from lafi.model.artifacts import VAE_DECODER
from lafi.serving.batched_engine import BatchedEngine, check_latents
from lafi.wire.model_spec import vae_decoder_spec
from lafi_repository.bridge import ModelSettings, answer_requests


class TritonPythonModel:
    """Answers each batch of Triton Server's dynamic batching with one engine call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine."""
        settings = ModelSettings(args)
        info = settings.info()
        run = settings.graph(VAE_DECODER, info.decoder_precision)
        multiple = info.side_multiple // info.vae_scale
        check = check_latents(multiple, MAX_SIDE // info.vae_scale)
        self._engine = BatchedEngine(
            vae_decoder_spec(info), lambda rows: run({"latents": rows}), check
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        responses: list[Any] = answer_requests(self._engine, requests)
        return responses
