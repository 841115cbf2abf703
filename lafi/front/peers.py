"""Passes calls about a storyboard on to the server that has it.

Servers behind one address have a journal each, and a balancer knows nothing of ids. Two other ways
were left out: a client that acknowledges in the stream that delivers would not help `attach` and
`cancel`, which come later, nor clients that are in use; and an owner that is looked up in the
shared store would cost a call to it for each id, and make it a list of what everybody draws. So an
id says whose it is (`lafi.wire.pods`), and whichever front gets it passes the call on as it is:
every client is right without a change, also behind a balancer that looks at each call.

From an id only a number is taken, which goes into a template that the operator gave. A call that
was passed on carries `FORWARDED` and goes no further, so none goes round. With it go the caller's
key and what is left of its deadline.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor

from lafi.board.error import StoryboardError
from lafi.front.control import PeerSettings
from lafi.front.control_model import command_in
from lafi.front.door import HEADER
from lafi.front.failures import told_of_call, told_of_exception
from lafi.front.file_signature import Signature, signature
from lafi.front.request_check import RequestRefused
from lafi.front.upstream import CHANNEL_OPTIONS, SERVICE
from lafi.wire.control import CONTROL, MAX_COMMAND_BYTES, command_from_tensors
from lafi.wire.model_spec import STORYBOARD, bytes_tensor, storyboard_spec
from lafi.wire.pods import MAX_PODS, Pod, elsewhere, pod_of

FORWARDED = "lafi-forwarded"
"""Metadata of a call that was passed on: the name of the pod that did so."""
CALL_SECONDS = 30.0
"""For a plain call whose client gave no deadline."""
_TEMPLATE = re.compile(r"[A-Za-z0-9.{}-]+:(?P<port>[0-9]{1,5})")
_PLACES = ("{pod}", "{ordinal}")
KEEPALIVE_MS = 20_000
"""How often an owner that says nothing to a call is asked whether it is there. A node that dies
does not close its connections.
"""
_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Also how long a connection may take: less than a client waits for a plain call.
    ("grpc.min_reconnect_backoff_ms", 3000),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    # For the kernel, which waits so long for a receipt, and for gRPC: 60 s by itself.
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.http2.ping_timeout_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Else gRPC asks twice and then seldom in a stream that waits for its turn.
    ("grpc.http2.max_pings_without_data", 0),
]
_log = logging.getLogger(__name__)


class Context(Protocol):
    """What we use of `grpc.aio.ServicerContext`."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """What the client sent beside its requests."""

    def time_remaining(self) -> float | None:
        """Seconds that the client still waits; None: for ever."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A storyboard of another pod's."""

    pod: Pod
    identifier: str

    def refused(self, why: str) -> RequestRefused:
        """Not now. why: a clause about the pod."""
        text = elsewhere(self.identifier, self.pod, why)
        return RequestRefused(text, grpc.StatusCode.UNAVAILABLE)


def check_template(template: str) -> None:
    """Raises ValueError for a text that is no `host:port` with one place for a pod's name."""
    match = _TEMPLATE.fullmatch(template)
    places = sum(map(template.count, _PLACES))
    plain = template.replace(_PLACES[0], "").replace(_PLACES[1], "")
    good = match is not None and 0 < int(match["port"]) < 65536
    if not good or places != 1 or "{" in plain or "}" in plain:
        raise ValueError(
            f"got {template!r}, allowed: host:port with {{pod}} or {{ordinal}} once in the host, "
            "such as {pod}.lafi-main-pods.drawing.svc:8001"
        )


class Peers:
    """The other servers of a set. Lives in one event loop."""

    def __init__(self, settings: PeerSettings | None) -> None:
        """settings: None: this server is alone. Raises ValueError."""
        self._settings = settings
        self._own = None if settings is None else pod_of(settings.pod)
        if settings is not None and settings.template:
            check_template(settings.template)
        self._channels: dict[int, tuple[grpc.aio.Channel, Signature | None]] = {}

    def owned_elsewhere(self, request: service_pb2.ModelInferRequest) -> Owned | None:
        """The storyboard that a checked request is about, if another pod has it."""
        if self._own is None:
            return None
        identifier = identifier_in(request)
        owner = self._own.owner(identifier)
        return None if owner is None or owner == self._own else Owned(owner, identifier)

    def target(self, owner: Pod) -> str:
        """Where the template says that a pod is."""
        assert self._settings is not None
        assert 0 <= owner.ordinal < MAX_PODS
        named = self._settings.template.replace(_PLACES[0], str(owner))
        return f"dns:///{named.replace(_PLACES[1], str(owner.ordinal))}"

    async def call(self, owned: Owned, request: bytes, context: Context) -> bytes:
        """The owner's answer to a plain call. Raises RequestRefused, as the owner's front does."""
        left = context.time_remaining()
        async with self.reached(owned, context) as channel:
            method = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            timeout = CALL_SECONDS if left is None else left
            return bytes(await method(request, timeout=timeout, metadata=self.metadata(context)))

    @asynccontextmanager
    async def reached(self, owned: Owned, context: Context) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the owner. What goes wrong in calls over it becomes a RequestRefused."""
        assert self._settings is not None
        given = context.invocation_metadata() or ()
        if by := [value for name, value in given if name == FORWARDED]:
            _log.error("%r passed on a call for %s to %s", by[0], owned.pod, self._own)
            raise owned.refused(f"is not {self._own}, to which the call was passed on (--peers)")
        if not self._settings.template:
            raise owned.refused(f"{self._own} cannot reach (lafi serve --peers)")
        seen = signature(*self._settings.files())
        channel, read = self._channels.get(owned.pod.ordinal, (None, None))
        if channel is None or read != seen:
            channel = self._dial(owned)
            self._channels[owned.pod.ordinal] = (channel, seen)
        try:
            yield channel
        except grpc.RpcError as error:
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if late or channel.get_state() is not grpc.ChannelConnectivity.READY:
                self._let_go(owned.pod.ordinal, channel)
            raise _refusal(error, owned) from None

    def metadata(self, context: Context) -> list[tuple[str, str | bytes]]:
        """What goes with a call that is passed on: the caller's key, and that it was."""
        given = context.invocation_metadata() or ()
        keys = [(name, value) for name, value in given if name.lower() == HEADER]
        return [*keys, (FORWARDED, str(self._own))]

    def _let_go(self, ordinal: int, channel: grpc.aio.Channel) -> None:
        """Dial anew next time; a channel would dial a pod that is gone for ever.

        It is not closed, since other calls may use it; nor is a newer one let go.
        """
        if self._channels.get(ordinal, (None, None))[0] is channel:
            del self._channels[ordinal]

    def _dial(self, owned: Owned) -> grpc.aio.Channel:
        target, settings = self.target(owned.pod), self._settings
        assert settings is not None
        if settings.encrypted:
            try:
                credentials = _credentials(settings)
            except OSError as error:
                _log.error("a certificate for calls to %s cannot be read: %s", owned.pod, error)
                raise owned.refused(f"{self._own} cannot reach now") from None
            return grpc.aio.secure_channel(target, credentials, _OPTIONS)
        return grpc.aio.insecure_channel(target, _OPTIONS)


class PeerRelay:
    """A request of a stream whose answers another pod gives; counts as `upstream.Relay` does."""

    def __init__(
        self,
        peers: Peers,
        owned: Owned,
        context: Context,
        forward: Callable[[bytes], Awaitable[None]],
        refuse: Callable[[str], Awaitable[None]],
    ) -> None:
        """forward: sends an answer to the client. refuse: an error, with its status before it."""
        self._asked = (peers, owned, context)
        self._forward = forward
        self._refuse = refuse
        self._call: grpc.aio.UnaryStreamCall | None = None
        self.left = False

    def leave(self) -> None:
        """Nobody waits for the answers any more: the owner hears it as if its own client left."""
        self.left = True
        if self._call is not None:
            self._call.cancel()

    async def run(self, request: bytes) -> None:
        """Pass on every answer. Raises nothing: that a peer is lost says nothing of this server."""
        peers, owned, context = self._asked
        refusal = ""
        try:
            async with peers.reached(owned, context) as channel:
                if self.left:
                    return
                # With its one request the same on the wire as a stream of them, of which grpc.aio
                # loses the status if it comes while a request is sent.
                method = channel.unary_stream(f"/{SERVICE}/ModelStreamInfer")
                metadata, left = peers.metadata(context), context.time_remaining()
                self._call = method(request, timeout=left, metadata=metadata)
                async for answer in self._call:
                    await self._pass_on(answer)
        except asyncio.CancelledError:
            if not self.left:
                raise
        except RequestRefused as error:
            refusal = f"{error.code.name}: {error}"
        except Exception as error:
            refusal = f"INTERNAL: {told_of_exception(error)}"
        if refusal and not self.left:
            with suppress(Exception):  # grpc.aio raises several kinds once a client is gone
                await self._refuse(refusal)

    async def _pass_on(self, answer: bytes) -> None:
        try:
            await self._forward(answer)
        except Exception:  # as above
            self.leave()


def identifier_in(request: service_pb2.ModelInferRequest) -> str:
    """The id that a checked request is about; "" for none, or one that is refused later."""
    try:
        if request.model_name == CONTROL:
            return command_in(request).id
        if request.model_name != storyboard_spec().name:
            return ""
        raw = _storyboard_in(request)
        command = None if raw is None else command_from_tensors(raw)
    except StoryboardError:
        return ""
    return "" if command is None else command.id


def _storyboard_in(request: service_pb2.ModelInferRequest) -> Any:
    """STORYBOARD as an array; None for one that is too long for a command."""
    place = [tensor.name for tensor in request.inputs].index(STORYBOARD)
    if not request.raw_input_contents:
        return bytes_tensor(*request.inputs[place].contents.bytes_contents)
    raw = request.raw_input_contents[place]
    return deserialize_bytes_tensor(raw) if len(raw) <= MAX_COMMAND_BYTES + 4 else None


def _credentials(settings: PeerSettings) -> grpc.ChannelCredentials:
    files = (settings.ca, settings.key, settings.certificate)
    return grpc.ssl_channel_credentials(
        *(Path(each).read_bytes() if each else None for each in files)
    )


def _refusal(error: grpc.RpcError, owned: Owned) -> RequestRefused:
    """What the client is told of a call that failed at the owner, or on the way to it."""
    code = error.code()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        # With this hint it is the owner's front that speaks, else a connection, which names places.
        seconds = dict(error.trailing_metadata() or ()).get("retry-after")
        why = (error.details() or "").partition("; try again later")[0]
        said = "" if seconds is None else f" ({why}; again in about {seconds} s)"
        _log.warning("%s was lost: %s", owned.pod, error.details())
        return owned.refused(f"takes no calls now{said}")
    code, text = told_of_call(error)
    return RequestRefused(text, code)
