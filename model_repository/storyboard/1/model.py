"""The served model `storyboard`: a storyboard in, a stream of events out."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch

from lafi.drawing.pipeline import MAX_ROWS
from lafi.drawing.studio import BANK_BYTES, Studio
from lafi.serving.admission_settings import studio_admission
from lafi.serving.desk import Desk
from lafi.serving.heartbeat import Heartbeat
from lafi.serving.keeping import Keeping
from lafi.serving.metrics import server_metrics
from lafi.serving.picture_decoder import PictureDecoder
from lafi.serving.storyboard_engines import load_storyboard_engines
from lafi.store.settings import store_of
from lafi_repository.bridge import (
    ModelSettings,
    ResponseSender,
    call_model,
    heartbeat_file,
    input_array,
    others_ready,
    stop_asked,
)
from lafi_repository.metrics_export import MetricsExport


class TritonPythonModel:
    """Denoises in this process; calls the other served models for text and VAE."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the denoiser and starts the threads that draw."""
        settings = ModelSettings(args)
        torch.set_num_threads(settings.threads)
        engine = (settings.runtime, settings.precision, settings.threads)
        engines = load_storyboard_engines(settings.artifacts, *engine, call_model, settings.state)
        self._panels = store_of(os.environ, settings.state)
        self._studio = Studio(
            engines,
            max_rows=settings.number("max_rows", MAX_ROWS),
            bank_bytes=settings.number("bank_megabytes", BANK_BYTES // 2**20) * 2**20,
            panels=self._panels,
            default_recipe=settings.default_recipe(),
            safety=settings.safety(),
        )
        admission = studio_admission(self._studio, engines[""].info, settings.number)
        kept = (self._panels, self._studio.places, decode := PictureDecoder().decode)
        self._keeping = Keeping(os.environ, settings.state, *kept)
        counts = (self._studio, admission, self._panels, self._keeping.count)
        self._metrics = MetricsExport(partial(server_metrics, *counts))
        self._service = self._keeping.service(self._studio, admission, stop_asked)
        self._heartbeat = Heartbeat(heartbeat_file(), partial(self._service.work, self._studio))
        self._keeping.resume(self._service, others_ready)
        self._desk = Desk(self._service, self._keeping.keeper, decode)

    def execute(self, requests: list[Any]) -> None:
        """Takes each request; the service's threads send the answers."""
        for request in requests:
            self._desk.receive(partial(input_array, request), ResponseSender(request))

    def finalize(self) -> None:
        """Ends the storyboards that are not drawn yet with an error, so that no client waits."""
        self._keeping.stop()
        self._service.close()
        self._studio.close()
        self._metrics.close()
        self._heartbeat.close()
        self._keeping.close()
