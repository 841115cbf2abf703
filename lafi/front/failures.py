"""What clients are told of errors behind the front, which may quote paths and tracebacks.

Our models name a status and say nothing of our insides. Triton Server's own texts do: they go to
the log under a number, and the client is told the number.
"""

from __future__ import annotations

import logging

import grpc
from tritonclient.grpc import service_pb2

from lafi.wire.failure import inside_error, new_request_id, tells_nothing, without_paths

_log = logging.getLogger(__name__)
_ERROR_TAG = 0x0A
"""With which a message of a stream begins if it is an error."""
_ASKING = {"INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"}
_ASKING |= {"UNAVAILABLE", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "CANCELLED", "UNAUTHENTICATED"}
"""Statuses whose text is about the request, or about when to come again: all that fronts answer
with, of which another front passes answers on.
"""
_LOST = ("stub process", "not healthy", "not ready", "no available versions", "stopp", "shutting")
"""Words of Triton Server's texts that mean: not now."""
_LOST_TEXT = "a part of the server was lost, or stops"


def told(status: str, text: str) -> tuple[str, str]:
    """Status and text for the client, of an error behind us. status: "" for none."""
    if tells_nothing(text):
        return "INTERNAL", text
    if status in _ASKING:
        return status, without_paths(text)
    if any(word in text.lower() for word in _LOST):
        return "UNAVAILABLE", f"{_LOST_TEXT} (request {_logged(text)}); try again later"
    return "INTERNAL", inside_error(_logged(text))


def told_of_call(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """The same for a call that failed."""
    status, text = split_status(error.details() or "")
    named = status if status else error.code().name
    code, shown = told(named, text)
    return grpc.StatusCode[code], shown


def told_in_stream(answer: bytes) -> bytes:
    """An answer of a stream as the client may see it: only errors are looked into."""
    if not answer or answer[0] != _ERROR_TAG:
        return answer
    response = service_pb2.ModelStreamInferResponse.FromString(answer)
    status, text = told(*split_status(response.error_message))
    response.error_message = f"{status}: {text}"
    return bytes(response.SerializeToString())


def told_of_exception(error: Exception) -> str:
    """The text for an error of our own that nobody expected."""
    request = new_request_id()
    _log.error("request %s failed in the front", request, exc_info=error)
    return inside_error(request)


def split_status(text: str) -> tuple[str, str]:
    """The status that a text begins with, "" for none, and the rest."""
    status, colon, rest = text.partition(": ")
    return (status, rest) if colon and status in grpc.StatusCode.__members__ else ("", text)


def _logged(text: str) -> str:
    request = new_request_id()
    _log.error("request %s failed: %s", request, text)
    return request
