"""Checks a request before Triton Server sees it, and leaves out what our models do not take.

Every problem is found here, since Triton Server 2.51 can be killed by some requests. What is left
out without an error is named, so that the client can be told.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from lafi.front.known_models import ITEM_BYTES, largest_request
from lafi.wire.model_spec import ANY, ModelSpec, TensorSpec

EMPTY_FINAL = "triton_enable_empty_final_response"
"""The one request parameter that is passed on: whether the final flag comes as a message."""
MAX_ID = 256
"""Most characters of a request's id."""
MAX_ELEMENTS = 4096
"""Most elements of a BYTES tensor."""
_SHARED_MEMORY = "shared_memory_"
_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The field for elements that are not sent as raw bytes; KServe has none for FP16."""


class RequestRefused(Exception):
    """A request that Triton Server must not see. `code` is the gRPC status."""

    def __init__(self, text: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class CleanRequest:
    """A request with known fields only. `ignored`: names of the parameters left out."""

    request: service_pb2.ModelInferRequest
    spec: ModelSpec
    ignored: tuple[str, ...] = ()


def parse(raw: bytes, message: type) -> service_pb2.ModelInferRequest:
    """A message from its bytes. Raises RequestRefused, for invalid UTF-8 in a name too."""
    try:
        return message.FromString(raw)  # type: ignore[attr-defined]
    except (DecodeError, UnicodeDecodeError):
        raise RequestRefused(
            f"the message is no {message.__name__} with names in valid UTF-8"
        ) from None


def check_model(models: Mapping[str, ModelSpec], name: str, version: str) -> ModelSpec:
    """The model with this name. Raises RequestRefused."""
    spec = models.get(name)
    if spec is None:
        text = f"Request for unknown model: {_shown(name)} is not found"
        raise RequestRefused(text, grpc.StatusCode.NOT_FOUND)
    if version not in ("", "1"):
        raise RequestRefused(f"model_version: got {_shown(version)}, allowed: 1 or none")
    return spec


def clean(
    request: service_pb2.ModelInferRequest, models: Mapping[str, ModelSpec], limit: int
) -> CleanRequest:
    """The request as Triton Server may see it.

    limit: most bytes of any request. Raises RequestRefused, which names field, value and what is
    allowed.
    """
    spec = check_model(models, request.model_name, request.model_version)
    size, most = request.ByteSize(), largest_request(spec, limit)
    if size > most:
        raise RequestRefused(
            f"the request: got {size} bytes, larger than max ({most}) for the model {spec.name}"
        )
    if len(request.id) > MAX_ID or not request.id.isprintable():
        raise RequestRefused(f"id: got {_shown(request.id)}, allowed: up to 256 printable letters")
    cleaned = service_pb2.ModelInferRequest(
        model_name=request.model_name, model_version=request.model_version, id=request.id
    )
    ignored = _copy_inputs(request, cleaned, spec) + _copy_outputs(request, cleaned, spec)
    for name, value in request.parameters.items():
        if name == EMPTY_FINAL and value.WhichOneof("parameter_choice") == "bool_param":
            cleaned.parameters[name].bool_param = value.bool_param
        else:
            ignored.append(name)
    return CleanRequest(cleaned, spec, tuple(dict.fromkeys(ignored)))


def _copy_inputs(
    request: service_pb2.ModelInferRequest, cleaned: service_pb2.ModelInferRequest, spec: ModelSpec
) -> list[str]:
    known = {tensor.name: tensor for tensor in spec.inputs}
    names = [tensor.name for tensor in request.inputs]
    _check_names("inputs", names, list(known))
    required = {tensor.name for tensor in spec.inputs if not tensor.optional}
    if missing := sorted(required.difference(names)):
        raise RequestRefused(f"inputs: {', '.join(missing)} missing, the model needs them")
    raw = request.raw_input_contents
    if len(raw) not in (0, len(names)):
        raise RequestRefused(
            f"raw_input_contents: got {len(raw)} tensors, allowed: one for each of "
            f"{len(names)} inputs"
        )
    ignored: list[str] = []
    for place, tensor in enumerate(request.inputs):
        _check_tensor(tensor, known[tensor.name], spec.max_batch_size)
        ignored += _ignored_parameters(f"inputs[{tensor.name}]", tensor.parameters)
        copied = cleaned.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            if tensor.HasField("contents"):
                raise RequestRefused(f"{tensor.name}: got contents beside raw_input_contents")
            _check_raw(tensor, raw[place])
            cleaned.raw_input_contents.append(raw[place])
        else:
            _copy_contents(tensor, copied)
    return ignored


def _copy_outputs(
    request: service_pb2.ModelInferRequest, cleaned: service_pb2.ModelInferRequest, spec: ModelSpec
) -> list[str]:
    names = [output.name for output in request.outputs]
    _check_names("outputs", names, [tensor.name for tensor in spec.outputs])
    ignored: list[str] = []
    for output in request.outputs:
        ignored += _ignored_parameters(f"outputs[{output.name}]", output.parameters)
        cleaned.outputs.add(name=output.name)
    return ignored


def _check_names(field: str, names: list[str], allowed: list[str]) -> None:
    for name in names:
        if name not in allowed:
            raise RequestRefused(f"{field}: got {_shown(name)}, allowed: {', '.join(allowed)}")
        if names.count(name) > 1:
            raise RequestRefused(f"{field}: got {name} {names.count(name)} times, allowed: once")


def _ignored_parameters(field: str, parameters: Mapping[str, object]) -> list[str]:
    for name in parameters:
        if name.startswith(_SHARED_MEMORY):
            raise RequestRefused(
                f"{field}.parameters.{name}: shared memory is closed to clients; send the "
                "tensor itself"
            )
    return list(parameters)


def _check_tensor(
    tensor: service_pb2.ModelInferRequest.InferInputTensor, known: TensorSpec, max_batch: int
) -> None:
    if tensor.datatype != known.dtype:
        raise RequestRefused(
            f"{tensor.name}: got datatype {_shown(tensor.datatype)}, allowed: {known.dtype}"
        )
    shape = list(tensor.shape)
    allowed = [ANY, *known.shape] if max_batch else list(known.shape)
    fits = len(shape) == len(allowed) and all(
        got >= 1 and wanted in (got, ANY) for got, wanted in zip(shape, allowed, strict=True)
    )
    if not fits:
        raise RequestRefused(
            f"{tensor.name}: got shape {shape[:16]}, allowed: {allowed}, where {ANY} is any "
            "number from 1"
        )
    if max_batch and shape[0] > max_batch:
        raise RequestRefused(
            f"{tensor.name}: got shape {shape}, allowed: a batch of at most {max_batch}"
        )


def _check_raw(tensor: service_pb2.ModelInferRequest.InferInputTensor, raw: bytes) -> None:
    elements = prod(tensor.shape)
    if tensor.datatype != "BYTES":
        wanted = elements * ITEM_BYTES[tensor.datatype]
        if len(raw) != wanted:
            raise RequestRefused(
                f"{tensor.name}: got {len(raw)} bytes, allowed: {wanted} for shape "
                f"{list(tensor.shape)}"
            )
        return
    _check_elements(tensor.name, elements)
    offset = found = 0
    while offset + 4 <= len(raw) and found <= elements:
        (length,) = struct.unpack_from("<I", raw, offset)
        offset += 4 + length
        found += 1
    if offset != len(raw) or found != elements:
        raise RequestRefused(
            f"{tensor.name}: got bytes that are not {elements} elements, each with its length "
            "before it"
        )


def _copy_contents(
    tensor: service_pb2.ModelInferRequest.InferInputTensor,
    copied: service_pb2.ModelInferRequest.InferInputTensor,
) -> None:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise RequestRefused(f"{tensor.name}: {tensor.datatype} is sent as raw_input_contents only")
    elements = prod(tensor.shape)
    if tensor.datatype == "BYTES":
        _check_elements(tensor.name, elements)
    given = getattr(tensor.contents, field)
    used = {descriptor.name for descriptor, _ in tensor.contents.ListFields()}
    if len(given) != elements or used - {field}:
        raise RequestRefused(
            f"{tensor.name}: got {len(given)} elements in {field}, allowed: {elements} and no "
            "other field"
        )
    getattr(copied.contents, field).extend(given)


def _check_elements(name: str, elements: int) -> None:
    if elements > MAX_ELEMENTS:
        raise RequestRefused(f"{name}: got {elements} elements, allowed: at most {MAX_ELEMENTS}")


def _shown(text: str) -> str:
    """A client's text for a message: quoted, escaped, at most 64 characters."""
    return ascii(text if len(text) <= 64 else text[:64] + "...")
