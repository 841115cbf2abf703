"""The KServe v2 service that clients see.

Bytes of requests are parsed and checked here, answers are passed on as they are. Nothing of a
client's own metadata reaches Triton Server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2 as pb

from lafi.front.client_stream import ClientStream, Context, tell_ignored
from lafi.front.control_model import about_control, answer_control
from lafi.front.door import Door
from lafi.front.failures import told_of_call, told_of_exception
from lafi.front.gate import Closed, Gate
from lafi.front.load import Limits, RequestBytes
from lafi.front.peers import Peers
from lafi.front.request_check import RequestRefused, check_model, clean, parse
from lafi.front.upstream import SERVICE
from lafi.wire.control import CONTROL

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
_SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse with status SERVING
_NOT_SERVING = b"\x08\x02"


class FrontService:
    """The methods of the service, each from bytes to bytes."""

    def __init__(self, gate: Gate, door: Door, limits: Limits, peers: Peers) -> None:
        self._peers = peers
        self._gate = gate
        self._door = door
        self._limits = limits
        self._bytes = RequestBytes(limits.in_flight)

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
            name: grpc.unary_unary_rpc_method_handler(self._plain(name, method))
            for name, method in plain.items()
        }
        methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._model_infer)
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        check = self._plain("Check", self._health)
        health = {"Check": grpc.unary_unary_rpc_method_handler(check)}
        return (
            grpc.method_handlers_generic_handler(SERVICE, methods),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
        )

    def _plain(
        self, name: str, method: Callable[[bytes], Awaitable[bytes]]
    ) -> Callable[[bytes, Context], Any]:
        """The method as gRPC calls it: only for who may, and its errors become statuses."""

        async def answer(raw: bytes, context: Context) -> bytes:
            try:
                self._door.admit(name, context.invocation_metadata())
                return await method(raw)
            except Exception as error:
                await _abort(context, error)

        return answer

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
            caller = self._door.admit("ModelInfer", context.invocation_metadata())
            with self._bytes.held_until_passed_on(len(raw)) as held:
                upstream = self._gate.enter()
                cleaned = clean(
                    parse(raw, pb.ModelInferRequest), upstream.models, self._limits.request
                )
                self._door.check(caller, cleaned.request)
                if cleaned.spec.name == CONTROL:
                    if owned := self._peers.owned_elsewhere(cleaned.request):
                        forwarded = cleaned.request.SerializeToString()
                        with self._gate.counted():
                            return await self._peers.call(owned, forwarded, context)
                    return await answer_control(self._gate, upstream, cleaned.request, caller)
                if cleaned.spec.decoupled:
                    raise RequestRefused(
                        f"{cleaned.spec.name} sends a stream of answers: use ModelStreamInfer",
                        grpc.StatusCode.UNIMPLEMENTED,
                    )
                tell_ignored(context, cleaned.ignored)
                request = cleaned.request.SerializeToString()
                return await self._gate.call(upstream, "ModelInfer", request, held.pass_on())
        except Exception as error:
            await _abort(context, error)

    async def _stream(self, requests: AsyncIterator[bytes], context: Context) -> None:
        try:
            self._door.admit("ModelStreamInfer", context.invocation_metadata())
            upstream = self._gate.enter()
            load = (self._limits, self._bytes)
            stream = ClientStream(self._gate, upstream, context, self._door, *load, self._peers)
            await stream.run(requests)
        except Exception as error:
            await _abort(context, error)


async def _refuse_closed(raw: bytes) -> bytes:
    raise RequestRefused(
        "repository, shared memory, trace and log settings are closed to clients",
        grpc.StatusCode.PERMISSION_DENIED,
    )


async def _abort(context: Context, error: Exception) -> NoReturn:
    """End the call as the error says: one of ours, a status of Triton Server's, or neither."""
    match error:
        case Closed():
            hint = (("retry-after", f"{error.retry_after:.0f}"),)
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error), hint)
        case RequestRefused():
            await context.abort(error.code, str(error))
        case grpc.RpcError():
            await context.abort(*told_of_call(error))
        case _:
            await context.abort(grpc.StatusCode.INTERNAL, told_of_exception(error))
