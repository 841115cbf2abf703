"""The served model `identity_enrolment`: enrols characters by pictures, or forgets them."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from lafi.engine.onnx.describer import exported_describer
from lafi.identity.service import open_identity
from lafi.serving.identity_engine import answer_enrolment
from lafi.serving.picture_decoder import PictureDecoder
from lafi.serving.remote_recogniser import RemoteRecogniser
from lafi.store.forgetting import forget_pictures
from lafi.wire.model_spec import enrolment_spec
from lafi_repository.bridge import ModelSettings, call_model, input_arrays, response


class TritonPythonModel:
    """Embeds pictures by calling the model `identity`, so that the network is loaded only once."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the folder of the enrolments, which the first enrolment creates."""
        settings = ModelSettings(args)
        self._spec = enrolment_spec()
        info = settings.info()
        recogniser = RemoteRecogniser(info, call_model)
        describer = exported_describer(settings.artifacts, info, threads=1)
        self._erase = partial(forget_pictures, os.environ, settings.state)
        self._identity = open_identity(
            recogniser, settings.state, describer, PictureDecoder().decode
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        return [response(self._spec, self._answer(request)) for request in requests]

    def _answer(self, request: Any) -> Any:
        return answer_enrolment(self._identity, input_arrays(request, self._spec), self._erase)
