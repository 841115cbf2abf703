"""A client's stream of requests, and what both kinds of call have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn, Protocol
from uuid import uuid4

import grpc
from tritonclient.grpc import service_pb2 as pb

from lafi.front.door import Door, tell_caller
from lafi.front.failures import told_in_stream
from lafi.front.gate import Closed, Gate, UnderWay
from lafi.front.load import Held, Limits, RequestBytes
from lafi.front.peers import Owned, PeerRelay, Peers
from lafi.front.request_check import EMPTY_FINAL, RequestRefused, clean, parse
from lafi.front.run_folder import REQUEST_KEY
from lafi.front.upstream import Relay, Upstream
from lafi.wire.caller import Caller
from lafi.wire.control import CONTROL

MAX_PER_STREAM = 64
"""Requests of one stream that are under way at a time; the next one waits unread."""
Metadata = Sequence[tuple[str, str]]


class UnreadError(Exception):
    """The client does not read its answers."""


class Context(Protocol):
    """What we use of `grpc.aio.ServicerContext`."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """What the client sent beside its requests."""

    async def write(self, message: bytes) -> None:
        """Send an answer of a stream."""

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: Metadata = ()
    ) -> NoReturn:
        """End the call with an error."""

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """What is sent at the end of the call."""

    def time_remaining(self) -> float | None:
        """Seconds that the client still waits; None: for ever."""


class ClientStream:
    """A client's stream: each request of it gets a stream of its own upstream."""

    def __init__(
        self,
        gate: Gate,
        upstream: Upstream,
        context: Context,
        door: Door,
        limits: Limits,
        in_flight: RequestBytes,
        peers: Peers,
    ) -> None:
        """in_flight: of all clients."""
        self._peers = peers
        self._door = door
        self._gate = gate
        self._upstream = upstream
        self._context = context
        self._limits = limits
        self._bytes = in_flight
        self._unread: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing = asyncio.Lock()
        self._places = asyncio.Semaphore(MAX_PER_STREAM)
        self._relays: list[UnderWay] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ignored: dict[str, None] = {}

    async def run(self, requests: AsyncIterator[bytes]) -> None:
        """Until the client has sent all, and has all answers.

        Raises Closed, grpc.RpcError, and RequestRefused for a client that does not read.
        """
        reading = asyncio.ensure_future(self._read(requests))
        try:
            waited: set[asyncio.Future[Any]] = {reading, self._upstream.lost, self._unread}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._unread.done():
                raise RequestRefused(
                    f"nobody read this stream for {self._limits.unread_seconds:g} s; try again "
                    "later: attach by the id, or send the storyboard again",
                    grpc.StatusCode.UNAVAILABLE,
                )
            if not reading.done():
                raise self._gate.closed(self._upstream.lost.result())
            await reading
        finally:
            reading.cancel()
            for relay in self._relays:
                relay.leave()

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for raw in requests:
            await self._places.acquire()
            if not await self._begin(raw):
                self._places.release()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _begin(self, raw: bytes) -> bool:
        """Send a request on its way; False if it was refused, which the client is told."""
        request = pb.ModelInferRequest()
        try:
            with self._bytes.held_until_passed_on(len(raw)) as held:
                # Looked up for every request: a key may be taken back while a stream is open.
                caller = self._door.admit("ModelStreamInfer", self._context.invocation_metadata())
                request = parse(raw, pb.ModelInferRequest)
                self._send(request, caller, held)
                return True
        except RequestRefused as error:
            await self._refuse(request, f"{error.code.name}: {error}")
        except Closed as error:
            await self._refuse(request, f"UNAVAILABLE: {error}")
        return False

    def _send(self, request: Any, caller: Caller | None, held: Held) -> None:
        if self._gate.enter() is not self._upstream:
            raise self._gate.closed("the server was started anew")
        cleaned = clean(request, self._upstream.models, self._limits.request)
        self._door.check(caller, cleaned.request)
        if cleaned.spec.name == CONTROL:
            raise RequestRefused(f"{CONTROL} answers at once: use ModelInfer")
        self._ignored.update(dict.fromkeys(cleaned.ignored))
        tell_ignored(self._context, tuple(self._ignored))
        relay: UnderWay
        if owned := self._peers.owned_elsewhere(cleaned.request):
            relay = self._peer_relay(owned, request)
        else:
            key = uuid4().hex
            if cleaned.spec.decoupled:
                cleaned.request.parameters[REQUEST_KEY].string_param = key
                tell_caller(cleaned.request, caller)
            relay = Relay(self._upstream, key, self._pass_on)
        self._relays.append(relay)
        task = self._gate.start(relay, cleaned.request.SerializeToString())
        self._tasks.add(task)
        give_back = held.pass_on()
        task.add_done_callback(lambda task: self._ended(task, relay, give_back))

    def _peer_relay(self, owned: Owned, request: Any) -> PeerRelay:
        def refuse(text: str) -> Awaitable[None]:
            return self._refuse(request, text)

        return PeerRelay(self._peers, owned, self._context, self._pass_on, refuse)

    def _ended(
        self, task: asyncio.Task[None], relay: UnderWay, give_back: Callable[[], None]
    ) -> None:
        give_back()
        self._tasks.discard(task)
        self._relays.remove(relay)
        self._places.release()
        if not task.cancelled() and task.exception() is not None:
            self._upstream.lose("the server was lost while it answered")

    async def _refuse(self, request: Any, text: str) -> None:
        """An error and, if asked for, the final flag, as our models refuse."""
        about = {"model_name": request.model_name, "id": request.id}
        failed = pb.ModelStreamInferResponse(
            error_message=text, infer_response=pb.ModelInferResponse(**about)
        )
        await self._write(failed.SerializeToString())
        if request.parameters[EMPTY_FINAL].bool_param:
            last = pb.ModelInferResponse(**about)
            last.parameters["triton_final_response"].bool_param = True
            final = pb.ModelStreamInferResponse(infer_response=last)
            await self._write(final.SerializeToString())

    async def _pass_on(self, answer: bytes) -> None:
        await self._write(told_in_stream(answer))

    async def _write(self, answer: bytes) -> None:
        """Send an answer, and return once it is on its way: so no more than one waits here.

        Raises UnreadError for a client that does not read, and what grpc.aio raises for one that
        is gone.
        """
        async with self._writing:
            if self._unread.done():
                raise UnreadError
            # Not cancelled when it takes too long: gRPC cannot take back what it was given.
            writing = asyncio.ensure_future(self._context.write(answer))
            await asyncio.wait({writing}, timeout=self._limits.unread_seconds)
            if not writing.done():
                self._unread.set_result(None)
                writing.add_done_callback(_forget)
                raise UnreadError
            await writing


def _forget(task: asyncio.Future[None]) -> None:
    """Look at a task's error, so that asyncio does not warn of it."""
    if not task.cancelled():
        task.exception()


def tell_ignored(context: Context, names: tuple[str, ...]) -> None:
    """Name what was left out of a request, in the answer's trailing metadata."""
    if names:
        text = ", ".join(names)[:1024].encode("ascii", "backslashreplace").decode()
        printable = "".join(letter if letter.isprintable() else "?" for letter in text)
        context.set_trailing_metadata((("lafi-ignored", printable),))
