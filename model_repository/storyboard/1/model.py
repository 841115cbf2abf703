"""The served model `storyboard`: a storyboard in, a stream of events out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from lafi.admission import Admission
from lafi.contract import (
    Event,
    storyboard_from_tensors,
    text_encoder_spec,
    vae_decoder_spec,
    vae_encoder_spec,
)
from lafi.engine.base import Engines
from lafi.engine.onnx import DENOISER, OnnxDenoiser, load_tokenizers
from lafi.pipeline import draw
from lafi.remote_engine import RemoteEngine, RemoteTextEncoder
from lafi.serving import StoryboardService
from lafi.storyboard import Storyboard
from lafi.variants import engines_of
from lafi_repository.bridge import (
    ModelSettings,
    ResponseSender,
    call_model,
    input_array,
    stop_asked,
)


class TritonPythonModel:
    """Denoises in this process; text and VAE are the served models beside it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the denoiser and starts the thread that draws."""
        settings = ModelSettings(args)
        torch.set_num_threads(settings.threads)
        self._engines = {"": _engines(settings)}
        self._max_rows = settings.number("max_rows", 16)
        admission = Admission(settings.number("max_storyboards", 8))
        self._service = StoryboardService(self._draw, admission, stop_asked=stop_asked)

    def execute(self, requests: list[Any]) -> None:
        """Reads and admits each request; the answers come from the service's thread."""
        for request in requests:
            self._service.accept(partial(self._decode, request), ResponseSender(request))

    def finalize(self) -> None:
        """Fails what is not drawn yet, so that nobody waits for it."""
        self._service.close()

    @staticmethod
    def _decode(request: Any) -> Storyboard:
        return storyboard_from_tensors(
            input_array(request, "STORYBOARD"), input_array(request, "REFERENCES")
        )

    def _draw(self, storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
        engines = engines_of(storyboard, self._engines)
        return draw(storyboard, engines, cancelled=cancelled, max_rows=self._max_rows)


def _engines(settings: ModelSettings) -> Engines:
    """The denoiser here; text and VAE as calls of the models beside this one."""
    info = settings.info()
    return Engines(
        text_encoder=RemoteTextEncoder(text_encoder_spec(info), call_model),
        vae_encoder=RemoteEngine(vae_encoder_spec(info), call_model),
        vae_decoder=RemoteEngine(vae_decoder_spec(info), call_model),
        denoiser=OnnxDenoiser(settings.session(DENOISER, settings.precision)),
        tokenizers=load_tokenizers(settings.artifacts, info),
        info=info,
    )
