"""Converts between Triton Server's Python backend and our types; every model.py adapter uses it.

Only this module, `metrics_export` and the adapters import `triton_python_backend_utils`, which
exists only in a process of the server.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import triton_python_backend_utils as pb_utils

from lafi.board.default_recipe import DefaultRecipe, load_default_recipe
from lafi.board.safety_words import SAFETY, SAFETY_WORDS, Safety, load_safety
from lafi.engine.onnx.graph import Precision, RunGraph, RuntimeName, model_info
from lafi.front.run_folder import REQUEST_KEY, own_run_folder
from lafi.model.info import ModelInfo, check_format
from lafi.server.triton_server import DEFAULT_RECIPE, THREADS
from lafi.serving.answers import ServedModelError
from lafi.serving.batched_engine import Answer, Array, BatchedEngine, InputError
from lafi.serving.failure import log_failure
from lafi.serving.job import Status
from lafi.serving.pace import Pace
from lafi.serving.served_graphs import load_served_graph
from lafi.wire.caller import CALLER, Caller
from lafi.wire.contract import event_to_tensors
from lafi.wire.control import Answer as ControlAnswer
from lafi.wire.events import Event
from lafi.wire.model_spec import ModelSpec

_log = logging.getLogger(__name__)


class ModelSettings:
    """A model's settings, from its config.pbtxt (`parameters`) and from the server.

    artifacts: the folder that `lafi export` wrote. state: the folder that models may
    write to. runtime, precision: of the denoiser, see lafi.ports.runtime; models that run an
    ONNX file themselves allow those of lafi.engine.onnx.graph.
    threads: CPU threads of an engine; 0 in config.pbtxt leaves them to the server.
    Raises ModelInfoError where `lafi.json` has another format number, before an engine is loaded.
    """

    def __init__(self, args: Mapping[str, str]) -> None:
        self._parameters = json.loads(args["model_config"]).get("parameters", {})
        # args["model_repository"] is the folder of this model; the repository is its parent.
        repository = Path(args["model_repository"]).parent
        self.artifacts = (repository / self.text("artifacts", "../artifacts")).resolve()
        check_format(self.artifacts)
        self.state = (repository / self.text("state", "../state")).resolve()
        self.runtime = self.text("runtime", "onnxruntime")
        self.precision = self.text("precision", "f32")
        self.threads = self.number("threads", 0) or int(os.environ.get(THREADS, "1"))
        logging.basicConfig(
            handlers=[_ServerLog()], format="%(message)s", level=logging.WARNING, force=True
        )

    def default_recipe(self) -> DefaultRecipe | None:
        """What sets the fields that storyboards leave unset: the server's choice, or the
        parameter `default_recipe`, a recipe's name or a file relative to the exported folder."""
        named = os.environ.get(DEFAULT_RECIPE) or self.text("default_recipe", "")
        return load_default_recipe(named, self.artifacts.parent) if named else None

    def safety(self) -> Safety:
        """What is done about words in prompts: the server's choice, or the parameters `safety`
        (off, flag or refuse) and `safety_words`, a file relative to the exported folder."""
        setting = os.environ.get(SAFETY) or self.text("safety", "off")
        file = os.environ.get(SAFETY_WORDS) or self.text("safety_words", "")
        return load_safety(setting, self.artifacts.parent / file if file else None)

    def info(self) -> ModelInfo:
        """The exported model's facts."""
        precision = cast(Precision, self.precision)
        return model_info(self.artifacts, cast(RuntimeName, self.runtime), precision)

    def graph(self, file: str, precision: str = "f32") -> RunGraph:
        """One of the exported ONNX files, or the plan built from it, ready to run."""
        engine = (self.runtime, precision, self.threads)
        return load_served_graph(self.artifacts, file, *engine, self.state)

    def text(self, name: str, default: str) -> str:
        """A parameter of config.pbtxt, `default` if it is not there."""
        return str(self._parameters.get(name, {}).get("string_value", default))

    def number(self, name: str, default: int) -> int:
        """A parameter of config.pbtxt that is a whole number, 0 or more."""
        text = self.text(name, str(default))
        if not text.isdecimal():
            raise ValueError(f"parameters.{name}: got {text!r}, allowed: a whole number")
        return int(text)


def stop_asked() -> bool:
    """True once the supervisor is about to stop the server. The server itself says so too late."""
    folder = own_run_folder()
    return folder is not None and folder.stop.is_file()


def others_ready() -> bool:
    """Whether all models of this run are loaded; true without a front, which alone knows."""
    folder = own_run_folder()
    return folder is None or folder.ready.is_file()


def heartbeat_file() -> Path | None:
    """Where the supervisor looks for signs of life; None if there is no supervisor."""
    folder = own_run_folder()
    return None if folder is None else folder.heartbeat


class _ServerLog(logging.Handler):
    """Writes Python's log to the server's log."""

    def emit(self, record: logging.LogRecord) -> None:
        write = (
            pb_utils.Logger.log_error
            if record.levelno >= logging.ERROR
            else pb_utils.Logger.log_warn
        )
        write(self.format(record))


def input_array(request: Any, name: str) -> Array:
    """An input tensor of a request; BYTES as an object array of bytes."""
    array: Array = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return array


def input_arrays(request: Any, spec: ModelSpec) -> dict[str, Array]:
    """All input tensors of a request by name, without optional ones that the client left out."""
    tensors = (
        (each.name, pb_utils.get_input_tensor_by_name(request, each.name)) for each in spec.inputs
    )
    return {name: tensor.as_numpy() for name, tensor in tensors if tensor is not None}


def answer_requests(engine: BatchedEngine, requests: Sequence[Any]) -> list[Any]:
    """One response for each request of a model with one input."""
    spec = engine.spec
    answers = engine.answer([input_array(request, spec.inputs[0].name) for request in requests])
    return [response(spec, answer) for answer in answers]


def response(spec: ModelSpec, answer: Answer) -> Any:
    """The response with the model's output tensors, or with an error."""
    if isinstance(answer, InputError):
        return pb_utils.InferenceResponse(error=_error("INVALID_ARGUMENT", str(answer)))
    if isinstance(answer, Exception):
        return pb_utils.InferenceResponse(error=_error("INTERNAL", log_failure(_log, answer)))
    named = zip(spec.outputs, answer, strict=True)
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(output.name, np.ascontiguousarray(array)) for output, array in named]
    )


def _error(status: Status, message: str) -> Any:
    """An error whose text begins with its status, because stream responses have no status field."""
    # Looked up here, because the server adds TritonError to pb_utils after this module's import.
    codes: Mapping[Status, int] = {
        "INVALID_ARGUMENT": pb_utils.TritonError.INVALID_ARG,
        "NOT_FOUND": pb_utils.TritonError.NOT_FOUND,
        "PERMISSION_DENIED": pb_utils.TritonError.UNSUPPORTED,
        "UNAVAILABLE": pb_utils.TritonError.UNAVAILABLE,
        "INTERNAL": pb_utils.TritonError.INTERNAL,
    }
    return pb_utils.TritonError(f"{status}: {message}", codes[status])


def call_model(name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Calls another model of this server (BLS) from any thread; returns its outputs by name."""
    request = pb_utils.InferenceRequest(
        model_name=name,
        requested_output_names=[],
        inputs=[pb_utils.Tensor(key, array) for key, array in inputs.items()],
    )
    response = request.exec()
    if response.has_error():
        raise ServedModelError(name, response.error().message())
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


class ResponseSender:
    """`lafi.serving.desk.Asker` for one request of a decoupled model."""

    def __init__(self, request: Any) -> None:
        self._sender = request.get_response_sender()
        self.caller = _caller_of(request)
        self._cancelled, taken = _files_of(request)
        self._pace = Pace(taken, lambda: self.is_cancelled() or stop_asked())

    def send(self, event: Event | ControlAnswer) -> None:
        """Sends one event, or the answer to a command, as the tensors EVENT and IMAGE.

        Waits while the client leaves too much unread.
        """
        named = event_to_tensors(event)
        self._pace.wait(sum(len(array[0]) for array in named.values()))
        tensors = [pb_utils.Tensor(name, array) for name, array in named.items()]
        self._sender.send(pb_utils.InferenceResponse(tensors))

    def refuse(self, status: Status, message: str) -> None:
        """Sends an error."""
        self._sender.send(pb_utils.InferenceResponse(error=_error(status, message)))

    def finish(self) -> None:
        """Sends the final flag."""
        self._sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def is_cancelled(self) -> bool:
        """True once the client is gone: the front says so by a file, or the call was cancelled."""
        if self._cancelled is not None and self._cancelled.exists():
            return True
        return bool(self._sender.is_cancelled())


def _caller_of(request: Any) -> Caller | None:
    """Who asks, as the front says; None without keys, and for the server's own requests."""
    told = json.loads(request.parameters() or "{}").get(CALLER)
    return Caller.model_validate_json(told) if isinstance(told, str) else None


def _files_of(request: Any) -> tuple[Path | None, Path | None]:
    """What the front says of this request: that nobody waits for it, and how much it passed on.

    None and None without a front.
    """
    folder = own_run_folder()
    key = json.loads(request.parameters() or "{}").get(REQUEST_KEY)
    if folder is None or not isinstance(key, str):
        return None, None
    return folder.cancelled(key), folder.taken(key)
