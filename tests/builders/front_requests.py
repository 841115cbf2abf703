"""Requests to models behind a front, and how they end."""

from collections.abc import Sequence
from typing import Any

import grpc
from front_server import FrontServer
from tritonclient.grpc import service_pb2
from tritonclient.utils import serialize_byte_tensor

from lafi.wire.model_spec import bytes_tensor


def of(model: str, *tensors: tuple[str, bytes]) -> Any:
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, value in tensors:
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(serialize_byte_tensor(bytes_tensor(value)).item())
    return request


def enrolment(action: bytes) -> Any:
    return of(
        "identity_enrolment", ("ACTION", action), ("CHARACTER", b"mia"), ("IMAGES", b"picture")
    )


STORY = of("storyboard", ("STORYBOARD", b"{}"), ("REFERENCES", b""))
IDENTIFY = service_pb2.ModelInferRequest(model_name="identity")
IDENTIFY.inputs.add(name="IMAGE", datatype="BYTES", shape=[1, 1])
IDENTIFY.raw_input_contents.append(serialize_byte_tensor(bytes_tensor(b"picture")).item())


def outcome(
    front: FrontServer, method: str, request: Any, metadata: Sequence[tuple[str, str]] = ()
) -> tuple[grpc.StatusCode, str]:
    """The status with which a call ends, or that an answer of a stream names."""
    call = getattr(front.stub(), method)
    try:
        if method != "ModelStreamInfer":
            call(request, metadata=metadata, timeout=20)
            return grpc.StatusCode.OK, ""
        for answer in call(iter([request]), metadata=metadata, timeout=20):
            if answer.error_message:
                status, _, text = answer.error_message.partition(": ")
                return grpc.StatusCode[status], text
        return grpc.StatusCode.OK, ""
    except grpc.RpcError as error:
        return error.code(), error.details()
