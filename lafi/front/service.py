"""The KServe v2 service that clients see.

Bytes of requests are parsed and checked here, answers are passed on as they are. Nothing of a
client's own metadata reaches Triton Server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NoReturn, Protocol
from uuid import uuid4

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2 as pb

from lafi.front.control_model import about_control, answer_control
from lafi.front.gate import Closed, Gate
from lafi.front.request_check import EMPTY_FINAL, RequestRefused, check_model, clean, parse
from lafi.front.run_folder import REQUEST_KEY
from lafi.front.upstream import SERVICE, Relay, Upstream
from lafi.wire.control import CONTROL

MAX_PER_STREAM = 64
"""Requests of one stream that are under way at a time; the next one waits unread."""
CLOSED_METHODS = (
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
)
"""They write files, map memory or load models: never for clients."""
Metadata = Sequence[tuple[str, str]]
_SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse with status SERVING
_NOT_SERVING = b"\x08\x02"


class Context(Protocol):
    """What we use of `grpc.aio.ServicerContext`."""

    async def write(self, message: bytes) -> None:
        """Send an answer of a stream."""

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: Metadata = ()
    ) -> NoReturn:
        """End the call with an error."""

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """What is sent at the end of the call."""


class FrontService:
    """The methods of the service, each from bytes to bytes."""

    def __init__(self, gate: Gate, limit: int) -> None:
        """limit: most bytes of a request."""
        self._gate = gate
        self._limit = limit

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a gRPC server needs to know."""
        plain: dict[str, Callable[[bytes], Awaitable[bytes]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            **dict.fromkeys(CLOSED_METHODS, _refuse_closed),
        }
        methods = {
            name: grpc.unary_unary_rpc_method_handler(_plain(method))
            for name, method in plain.items()
        }
        methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._model_infer)
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        health = {"Check": grpc.unary_unary_rpc_method_handler(_plain(self._health))}
        return (
            grpc.method_handlers_generic_handler(SERVICE, methods),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
        )

    async def _server_live(self, raw: bytes) -> bytes:
        return bytes(pb.ServerLiveResponse(live=True).SerializeToString())

    async def _server_ready(self, raw: bytes) -> bytes:
        return bytes(pb.ServerReadyResponse(ready=self._gate.ready).SerializeToString())

    async def _health(self, raw: bytes) -> bytes:
        return _SERVING if self._gate.ready else _NOT_SERVING

    async def _model_ready(self, raw: bytes) -> bytes:
        asked = parse(raw, pb.ModelReadyRequest)
        ready = self._gate.ready
        if ready:
            check_model(self._gate.current().models, asked.name, asked.version)
        return bytes(pb.ModelReadyResponse(ready=ready).SerializeToString())

    async def _server_metadata(self, raw: bytes) -> bytes:
        return await self._gate.call(self._gate.current(), "ServerMetadata", b"")

    async def _model_metadata(self, raw: bytes) -> bytes:
        return await self._about_a_model("ModelMetadata", raw, pb.ModelMetadataRequest)

    async def _model_config(self, raw: bytes) -> bytes:
        return await self._about_a_model("ModelConfig", raw, pb.ModelConfigRequest)

    async def _model_statistics(self, raw: bytes) -> bytes:
        return await self._about_a_model("ModelStatistics", raw, pb.ModelStatisticsRequest, True)

    async def _about_a_model(
        self, method: str, raw: bytes, kind: type, every: bool = False
    ) -> bytes:
        """A question about one model; with `every`, no name stands for all."""
        asked = parse(raw, kind)
        upstream = self._gate.current()
        if asked.name or not every:
            check_model(upstream.models, asked.name, asked.version)
        if asked.name == CONTROL:
            return about_control(method)
        question = kind(name=asked.name, version=asked.version)
        return await self._gate.call(upstream, method, question.SerializeToString())

    async def _repository_index(self, raw: bytes) -> bytes:
        """Answered here, since Triton Server's own index is one of the calls that need a key."""
        answer = pb.RepositoryIndexResponse()
        for name in self._gate.current().models:
            answer.models.add(name=name, version="1", state="READY")
        return bytes(answer.SerializeToString())

    async def _model_infer(self, raw: bytes, context: Context) -> bytes:
        try:
            upstream = self._gate.enter()
            cleaned = clean(parse(raw, pb.ModelInferRequest), upstream.models, self._limit)
            if cleaned.spec.name == CONTROL:
                return await answer_control(self._gate, upstream, cleaned.request)
            if cleaned.spec.decoupled:
                raise RequestRefused(
                    f"{cleaned.spec.name} sends a stream of answers: use ModelStreamInfer",
                    grpc.StatusCode.UNIMPLEMENTED,
                )
            _tell_ignored(context, cleaned.ignored)
            request = cleaned.request.SerializeToString()
            return await self._gate.call(upstream, "ModelInfer", request)
        except (Closed, RequestRefused, grpc.RpcError) as error:
            await _abort(context, error)

    async def _stream(self, requests: AsyncIterator[bytes], context: Context) -> None:
        try:
            upstream = self._gate.enter()
            await _ClientStream(self._gate, upstream, context, self._limit).run(requests)
        except (Closed, grpc.RpcError) as error:
            await _abort(context, error)


class _ClientStream:
    """A client's stream: each request of it gets a stream of its own upstream."""

    def __init__(self, gate: Gate, upstream: Upstream, context: Context, limit: int) -> None:
        self._gate = gate
        self._upstream = upstream
        self._context = context
        self._limit = limit
        self._writing = asyncio.Lock()
        self._places = asyncio.Semaphore(MAX_PER_STREAM)
        self._relays: list[Relay] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ignored: dict[str, None] = {}

    async def run(self, requests: AsyncIterator[bytes]) -> None:
        """Until the client has sent all, and has all answers. Raises Closed, grpc.RpcError."""
        reading = asyncio.ensure_future(self._read(requests))
        try:
            waited: set[asyncio.Future[Any]] = {reading, self._upstream.lost}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
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
            request = parse(raw, pb.ModelInferRequest)
            if self._gate.enter() is not self._upstream:
                raise self._gate.closed("the server was started anew")
            cleaned = clean(request, self._upstream.models, self._limit)
            if cleaned.spec.name == CONTROL:
                raise RequestRefused(f"{CONTROL} answers at once: use ModelInfer")
        except RequestRefused as error:
            await self._refuse(request, f"{error.code.name}: {error}")
            return False
        except Closed as error:
            await self._refuse(request, f"UNAVAILABLE: {error}")
            return False
        self._ignored.update(dict.fromkeys(cleaned.ignored))
        _tell_ignored(self._context, tuple(self._ignored))
        key = uuid4().hex
        if cleaned.spec.decoupled:
            cleaned.request.parameters[REQUEST_KEY].string_param = key
        relay = Relay(self._upstream, key, self._write)
        self._relays.append(relay)
        task = self._gate.start(relay, cleaned.request.SerializeToString())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(task, relay))
        return True

    def _ended(self, task: asyncio.Task[None], relay: Relay) -> None:
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

    async def _write(self, answer: bytes) -> None:
        async with self._writing:
            await self._context.write(answer)


def _plain(method: Callable[[bytes], Awaitable[bytes]]) -> Callable[[bytes, Context], Any]:
    """The method as gRPC calls it: its errors become statuses."""

    async def answer(raw: bytes, context: Context) -> bytes:
        try:
            return await method(raw)
        except (Closed, RequestRefused, grpc.RpcError) as error:
            await _abort(context, error)

    return answer


async def _refuse_closed(raw: bytes) -> bytes:
    raise RequestRefused(
        "repository, shared memory, trace and log settings are closed to clients",
        grpc.StatusCode.PERMISSION_DENIED,
    )


def _tell_ignored(context: Context, names: tuple[str, ...]) -> None:
    """Name what was left out of a request, in the answer's trailing metadata."""
    if names:
        text = ", ".join(names)[:1024].encode("ascii", "backslashreplace").decode()
        printable = "".join(letter if letter.isprintable() else "?" for letter in text)
        context.set_trailing_metadata((("lafi-ignored", printable),))


async def _abort(context: Context, error: Exception) -> NoReturn:
    """End the call as the error says: one of ours, or a status of Triton Server's."""
    if isinstance(error, Closed):
        hint = (("retry-after", f"{error.retry_after:.0f}"),)
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(error), hint)
    if isinstance(error, RequestRefused):
        await context.abort(error.code, str(error))
    assert isinstance(error, grpc.RpcError)
    await context.abort(error.code(), error.details() or "")
