"""The connection to one run of Triton Server, and requests that are on their way to it.

Triton Server 2.51 can crash when a call is cancelled while it sends the last answer, or after a
refusal. So no call is ever cancelled here: a client that leaves is made known by a file, the model
then ends its answer, and what still comes is read and dropped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from lafi.front.known_models import spec_of
from lafi.front.run_folder import RunFolder
from lafi.wire.control import CONTROL, control_spec
from lafi.wire.model_spec import ModelSpec, storyboard_spec

SERVICE = "inference.GRPCInferenceService"
Forward = Callable[[bytes], Awaitable[None]]
_POLL_SECONDS = 0.1
_SAY_BYTES = 256 * 2**10
"""After how many bytes of answers the model is told that they were passed on."""
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # Of what nobody reads little comes here: gRPC's own window grows to what the socket can carry.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 512 * 2**10),
)
"""Of every channel whose answers the front passes on."""
_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class Upstream:
    """One run of Triton Server.

    `models`: by name, once `wait_until_ready` has returned; among them `storyboard_control`, which
    the front answers itself.
    """

    def __init__(self, folder: RunFolder, names: Sequence[str]) -> None:
        """names: of the models that must be ready."""
        self.folder = folder
        self.models: dict[str, ModelSpec] = {}
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._names = names
        self._channel = grpc.aio.insecure_channel(folder.target, _OPTIONS)
        self._methods: dict[str, Callable[..., Any]] = {}

    def lose(self, why: str) -> None:
        """Let all who wait for answers know that none will come."""
        if not self.lost.done():
            self.lost.set_result(why)

    async def close(self) -> None:
        """Close the connection to a server that is gone."""
        await self._channel.close()

    async def wait_until_ready(self) -> None:
        """Return once every model is ready and its spec is known."""
        waiting = list(self._names)
        while waiting:
            with suppress(grpc.RpcError):
                request = service_pb2.ModelReadyRequest(name=waiting[-1])
                answer = await self._ask("ModelReady", request, service_pb2.ModelReadyResponse)
                if answer.ready:
                    waiting.pop()
                    continue
            await asyncio.sleep(_POLL_SECONDS)
        self.models = {name: await self._spec(name) for name in self._names}
        if storyboard_spec().name in self.models:
            self.models[CONTROL] = control_spec()
        with suppress(OSError):  # the run is over, and its folder gone
            self.folder.ready.touch()

    async def call(self, method: str, request: bytes) -> bytes:
        """One plain call: bytes in, bytes out. Raises grpc.RpcError."""
        if method not in self._methods:
            self._methods[method] = self._channel.unary_unary(f"/{SERVICE}/{method}")
        answer: bytes = await self._methods[method](request)
        return answer

    def stream(self) -> grpc.aio.StreamStreamCall:
        """A stream of requests and answers, both as bytes."""
        method = "ModelStreamInfer"
        if method not in self._methods:
            self._methods[method] = self._channel.stream_stream(f"/{SERVICE}/{method}")
        return self._methods[method]()

    async def _spec(self, name: str) -> ModelSpec:
        request = service_pb2.ModelConfigRequest(name=name)
        answer = await self._ask("ModelConfig", request, service_pb2.ModelConfigResponse)
        return spec_of(answer.config)

    async def _ask(self, method: str, request: Any, answer: Any) -> Any:
        raw = request.SerializeToString()
        return answer.FromString(await asyncio.wait_for(self.call(method, raw), 5.0))


class Relay:
    """One request of a stream, whose answers are read to their end whatever the client does."""

    def __init__(self, upstream: Upstream, key: str, forward: Forward) -> None:
        """key: the request's name in the run's folder. forward: sends an answer to the client."""
        self._upstream = upstream
        self._cancelled: Path = upstream.folder.cancelled(key)
        self._taken: Path = upstream.folder.taken(key)
        self._passed = self._said = 0
        self._forward = forward
        self.left = False

    def leave(self) -> None:
        """Nobody waits for the answers any more: have the model end them."""
        if not self.left:
            self.left = True
            with suppress(OSError):  # the run is over, and its folder gone
                self._cancelled.touch()

    async def run(self, request: bytes) -> None:
        """Send the request and pass on every answer. Raises grpc.RpcError."""
        try:
            call = self._upstream.stream()
            await call.write(request)
            await call.done_writing()
            async for answer in call:
                if not self.left:
                    await self._pass_on(answer)
        finally:
            with suppress(OSError):
                self._cancelled.unlink(missing_ok=True)
                self._taken.unlink(missing_ok=True)

    async def _pass_on(self, answer: bytes) -> None:
        try:
            await self._forward(answer)
        except Exception:  # grpc.aio raises several kinds once a client is gone
            self.leave()
        self._passed += len(answer)
        if self._passed - self._said >= _SAY_BYTES:
            self._said = self._passed
            with suppress(OSError):  # the run is over, and its folder gone
                self._taken.touch()
                os.truncate(self._taken, self._passed)
