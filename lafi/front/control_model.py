"""The model `storyboard_control`, which is the front's own: a plain call for each command.

The model `storyboard` knows the answers, and takes the same commands as storyboards; so each call
becomes a request of a stream to it.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import grpc
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from lafi.board.error import StoryboardError
from lafi.front.door import tell_caller
from lafi.front.failures import split_status, told
from lafi.front.gate import Gate
from lafi.front.request_check import RequestRefused
from lafi.front.run_folder import REQUEST_KEY
from lafi.front.upstream import Upstream
from lafi.wire.caller import Caller
from lafi.wire.control import (
    ANSWER,
    CONTROL,
    ID,
    PANELS,
    Command,
    command_from_control,
    command_to_tensors,
    control_spec,
)
from lafi.wire.model_spec import ACTION, EVENT, bytes_tensor, config_pbtxt, storyboard_spec


async def answer_control(
    gate: Gate,
    upstream: Upstream,
    request: service_pb2.ModelInferRequest,
    caller: Caller | None = None,
) -> bytes:
    """The response to a checked request.

    caller: who sends it. Raises RequestRefused, Closed and grpc.RpcError.
    """
    try:
        command = command_in(request)
    except StoryboardError as error:
        raise RequestRefused(str(error)) from None
    if command.action == "attach":
        raise RequestRefused(
            'attach is answered with a stream of events: send {"action": "attach", "id": ...} as '
            "STORYBOARD to the model storyboard with ModelStreamInfer",
            grpc.StatusCode.UNIMPLEMENTED,
        )
    key = uuid4().hex
    forwarded = service_pb2.ModelInferRequest(model_name=storyboard_spec().name, id=request.id)
    forwarded.parameters[REQUEST_KEY].string_param = key
    tell_caller(forwarded, caller)
    for name, elements in command_to_tensors(command).items():
        forwarded.inputs.add(name=name, datatype="BYTES", shape=elements.shape)
        forwarded.raw_input_contents.append(serialize_byte_tensor(elements).item())
    answers = await gate.ask(upstream, key, forwarded.SerializeToString())
    return response_of(answers, request.id)


def command_in(request: service_pb2.ModelInferRequest) -> Command:
    """The command in ACTION, ID and PANELS. Raises StoryboardError."""
    tensors = {}
    for place, tensor in enumerate(request.inputs):
        if request.raw_input_contents:
            raw = request.raw_input_contents[place]
            whole = tensor.name == PANELS
            read: Any = np.frombuffer(raw, "<i8") if whole else deserialize_bytes_tensor(raw)
        elif tensor.name == PANELS:
            read = np.array(tensor.contents.int64_contents, dtype=np.int64)
        else:
            assert tensor.name in (ACTION, ID)
            read = bytes_tensor(*tensor.contents.bytes_contents)
        tensors[tensor.name] = read
    return command_from_control(tensors)


def response_of(answers: list[bytes], request_id: str) -> bytes:
    """The response for what `storyboard` answered. Raises RequestRefused for an error of its."""
    for answer in answers:
        came = service_pb2.ModelStreamInferResponse.FromString(answer)
        if came.error_message:
            status, text = told(*split_status(came.error_message))
            raise RequestRefused(text, grpc.StatusCode[status])
        given = came.infer_response
        named = zip(given.outputs, given.raw_output_contents, strict=True)
        for output, raw in named:
            if output.name == EVENT:
                response = service_pb2.ModelInferResponse(
                    model_name=CONTROL, model_version="1", id=request_id
                )
                response.outputs.add(name=ANSWER, datatype="BYTES", shape=[1])
                response.raw_output_contents.append(raw)
                return bytes(response.SerializeToString())
    raise RequestRefused("the model storyboard gave no answer", grpc.StatusCode.INTERNAL)


def about_control(method: str) -> bytes:
    """The answer to a question about this model, which Triton Server does not know."""
    spec = control_spec()
    if method == "ModelConfig":
        config = text_format.Parse(config_pbtxt(spec), model_config_pb2.ModelConfig())
        return bytes(service_pb2.ModelConfigResponse(config=config).SerializeToString())
    if method == "ModelMetadata":
        answer = service_pb2.ModelMetadataResponse(name=CONTROL, versions=["1"], platform="lafi")
        for tensors, listed in ((spec.inputs, answer.inputs), (spec.outputs, answer.outputs)):
            for tensor in tensors:
                listed.add(name=tensor.name, datatype=tensor.dtype, shape=tensor.shape)
        return bytes(answer.SerializeToString())
    raise RequestRefused(
        f"{CONTROL} is answered by the front and has no statistics", grpc.StatusCode.UNIMPLEMENTED
    )
