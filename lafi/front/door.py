"""Who may do what: finds the caller by the key, and the right that a request needs.

A server without a file of keys lets everybody do everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor

from lafi.front.control import FrontSettings
from lafi.front.keys import KeyRing
from lafi.front.request_check import RequestRefused
from lafi.wire.caller import CALLER, Caller, Right
from lafi.wire.control import CONTROL
from lafi.wire.identity import ENROLMENT, IDENTITY
from lafi.wire.model_spec import ACTION, storyboard_spec

HEADER = "authorization"
"""Where a key is sent, with gRPC as with HTTP: `authorization: Bearer KEY`."""
OUTER = (storyboard_spec().name, CONTROL, IDENTITY, ENROLMENT)
"""Models for clients. The others are parts that the server itself calls, within its own limits."""
PROBES = ("ServerLive", "ServerReady", "ModelReady", "Check")
"""Whether the server works may be asked without a key."""
METRICS_PAGE = "/metrics"
METHOD_RIGHTS: Mapping[str, Right] = {"ModelStatistics": "metrics", METRICS_PAGE: "metrics"}
"""Methods and pages, other than requests to models, that need more than a key."""
_SCHEME = "bearer "


class Door:
    """Lets callers in by their keys."""

    def __init__(self, keys: KeyRing | None = None, *, open_parts: bool = False) -> None:
        """keys: None lets in everybody. open_parts: whether clients reach models beside `OUTER`."""
        self._keys = keys
        self._open_parts = open_parts

    def admit(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None
    ) -> Caller | None:
        """Who calls this method; None for probes, and for all on a server without keys.

        Raises RequestRefused: UNAUTHENTICATED, or PERMISSION_DENIED where any call of the method
        needs a right. What a request to a model needs is said by `right_for`.
        """
        if self._keys is None or method in PROBES:
            return None
        caller = self._caller(self._keys, metadata)
        if method in METHOD_RIGHTS:
            check_right(caller, METHOD_RIGHTS[method])
        return caller

    def check(self, caller: Caller | None, request: service_pb2.ModelInferRequest) -> None:
        """Whether a checked request to a model may pass. Raises RequestRefused."""
        if request.model_name not in OUTER and not self._open_parts:
            raise RequestRefused(
                f"the model {request.model_name} is a part of the server, which alone calls it; "
                "`lafi serve --open-parts` lets clients call it too",
                grpc.StatusCode.PERMISSION_DENIED,
            )
        check_right(caller, right_for(request))

    def _caller(self, keys: KeyRing, metadata: Iterable[tuple[str, str | bytes]] | None) -> Caller:
        given = [value for name, value in metadata or () if name.lower() == HEADER]
        if len(given) != 1:
            raise _stranger(f"got {len(given) or 'no'} keys, allowed: one")
        text = given[0].decode("latin-1") if isinstance(given[0], bytes) else given[0]
        if text[: len(_SCHEME)].lower() != _SCHEME:
            raise _stranger("got another scheme than Bearer")
        found = keys.find(text[len(_SCHEME) :].strip())
        if found is None:
            raise _stranger("this server does not know the key")
        return found


def door_of(settings: FrontSettings) -> Door:
    """As the settings say. Raises KeyFileError."""
    keys = KeyRing(Path(settings.keys)) if settings.keys else None
    return Door(keys, open_parts=settings.open_parts)


def check_right(caller: Caller | None, right: Right) -> None:
    """Raises RequestRefused, PERMISSION_DENIED, if the caller has a key without this right."""
    if caller is not None and right not in caller.rights:
        raise RequestRefused(lacks(caller, right), grpc.StatusCode.PERMISSION_DENIED)


def tell_caller(request: service_pb2.ModelInferRequest, caller: Caller | None) -> None:
    """Write into a cleaned request who sends it."""
    if caller is not None:
        request.parameters[CALLER].string_param = caller.model_dump_json()


def lacks(caller: Caller, right: Right) -> str:
    """What a caller without a right is told."""
    return (
        f'the key {caller.name} lacks the right "{right}"; '
        f"it has: {', '.join(caller.rights) or 'none'}"
    )


def right_for(request: service_pb2.ModelInferRequest) -> Right:
    """The right that a checked request to a model needs."""
    if request.model_name != ENROLMENT:
        return "draw"
    return "forget" if _action(request) == b"forget" else "enrol"


def _action(request: service_pb2.ModelInferRequest) -> bytes:
    """The first element of ACTION, which a checked request has."""
    place = [tensor.name for tensor in request.inputs].index(ACTION)
    if request.raw_input_contents:
        values = deserialize_bytes_tensor(request.raw_input_contents[place])
        return bytes(values.reshape(-1)[0])
    return bytes(request.inputs[place].contents.bytes_contents[0])


def _stranger(why: str) -> RequestRefused:
    return RequestRefused(
        f"{why}; send a key of this server as metadata, `{HEADER}: Bearer KEY`",
        grpc.StatusCode.UNAUTHENTICATED,
    )
