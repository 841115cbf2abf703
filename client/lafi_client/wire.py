"""Storyboards and events as messages of the KServe v2 protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.utils import serialize_byte_tensor

from lafi.board.storyboard import Storyboard
from lafi.wire.contract import event_from_tensors, storyboard_to_tensors
from lafi.wire.control import (
    ANSWER,
    CONTROL,
    Command,
    Queue,
    QueueEntry,
    command_to_control,
    command_to_tensors,
)
from lafi.wire.events import Event
from lafi.wire.picture_names import NamePicture
from lafi_client.errors import LafiError, error_from_text

MODEL_NAME = "storyboard"


def storyboard_request(
    storyboard: Storyboard, request_id: str = "", name: NamePicture = lambda data: None
) -> service_pb2.ModelInferRequest:
    """The request of a drawing: every input is a BYTES tensor. name: pictures that are known."""
    return bytes_request(MODEL_NAME, storyboard_to_tensors(storyboard, name), request_id)


def pursued_request(
    asked: Storyboard | Command, name: NamePicture
) -> service_pb2.ModelInferRequest:
    """The request of a stream: to draw a storyboard, or to attach to one."""
    if isinstance(asked, Storyboard):
        return storyboard_request(asked, name=name)
    return bytes_request(MODEL_NAME, command_to_tensors(asked))


def control_request(command: Command) -> service_pb2.ModelInferRequest:
    """A plain call for a command."""
    request = service_pb2.ModelInferRequest(model_name=CONTROL)
    for name, values in command_to_control(command).items():
        whole = values.dtype == np.int64
        datatype = "INT64" if whole else "BYTES"
        request.inputs.add(name=name, datatype=datatype, shape=values.shape)
        raw = values.tobytes() if whole else serialize_byte_tensor(values).item()
        request.raw_input_contents.append(raw)
    return request


def queue_in(response: service_pb2.ModelInferResponse, target: str) -> list[QueueEntry]:
    """The answer to `queue`. Raises LafiError for one that this client cannot read."""
    try:
        answer = tensors_in(response)[ANSWER].reshape(-1)[0]
        return [*Queue.model_validate_json(answer).storyboards]
    except (KeyError, ValueError) as error:
        raise LafiError(f"{target}: got a queue that this client cannot read ({error})") from error


def bytes_request(
    model: str, tensors: Mapping[str, npt.NDArray[Any]], request_id: str = ""
) -> service_pb2.ModelInferRequest:
    """A request to a served model that has only BYTES inputs."""
    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    for name, values in tensors.items():
        request.inputs.add(name=name, datatype="BYTES", shape=values.shape)
        request.raw_input_contents.append(serialize_byte_tensor(values).item())
    return request


def event_in(response: service_pb2.ModelStreamInferResponse, target: str) -> Event | None:
    """The event in a response. None for an empty response (Triton Server's last one), and
    for a kind of event that this client does not know.

    Raises ServerUnavailable or StoryboardRefused for an error message in the stream, and
    LafiError for an event that this client cannot read.
    """
    if response.error_message:
        raise error_from_text(response.error_message, target)
    tensors = tensors_in(response.infer_response)
    if "EVENT" not in tensors:
        return None
    try:
        return event_from_tensors(tensors["EVENT"], tensors["IMAGE"])
    except (KeyError, ValueError) as error:
        raise LafiError(
            f"{target}: got an event that this client cannot read ({error}); "
            "are client and server of the same version?"
        ) from error


def tensors_in(response: service_pb2.ModelInferResponse) -> dict[str, npt.NDArray[Any]]:
    """A response's outputs by name."""
    result = InferResult(response)
    return {output.name: result.as_numpy(output.name) for output in response.outputs}
