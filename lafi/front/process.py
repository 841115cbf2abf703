"""Runs the front: listens for clients, follows the supervisor's orders, tells its state."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path

import grpc
import grpc.aio

from lafi.front.canary import acknowledgement, canary_request, id_in, outcome_of
from lafi.front.control import TELL_SECONDS, Close, Connect, Drain, FrontSettings, State, order_in
from lafi.front.door import door_of
from lafi.front.gate import Closed, Gate
from lafi.front.load import Limits
from lafi.front.peers import Peers
from lafi.front.run_folder import RunFolder
from lafi.front.service import FrontService
from lafi.front.tls import server_credentials
from lafi.front.upstream import Upstream

MAX_CALLS = 1024
"""Calls of all clients at a time; more are refused with RESOURCE_EXHAUSTED."""
PING_MS = 10_000
"""Who asks more often whether we are there, and sends nothing else, is cut off."""
_END_SECONDS = 1.0


async def serve(settings: FrontSettings) -> None:
    """Serve until the supervisor closes our standard input."""
    front = _Front(settings)
    server, _ = new_server(settings, front.gate)
    await server.start()
    telling = asyncio.ensure_future(front.tell_state())
    canary = asyncio.ensure_future(front.keep_a_canary())
    try:
        await front.follow_orders()
    finally:
        telling.cancel()
        canary.cancel()
        await server.stop(_END_SECONDS)


def new_server(settings: FrontSettings, gate: Gate) -> tuple[grpc.aio.Server, int]:
    """The gRPC server for clients, not started, and its port.

    Raises KeyFileError, TlsFilesError, ValueError for peers that make no sense, and RuntimeError
    for an address that is taken.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            # Other fronts ask more often (`peers.KEEPALIVE_MS`) than gRPC takes by itself.
            ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_MS),
        ],
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    limits = Limits(settings.request_bytes, settings.bytes_in_flight, settings.unread_seconds)
    service = FrontService(gate, door_of(settings), limits, Peers(settings.peers))
    server.add_generic_rpc_handlers(service.handlers())
    if settings.tls is None:
        return server, server.add_insecure_port(settings.address)
    return server, server.add_secure_port(settings.address, server_credentials(settings.tls))


class _Front:
    """The gate, and what the supervisor and the canary do to it."""

    def __init__(self, settings: FrontSettings) -> None:
        self.gate = Gate()
        self._settings = settings
        self._run = 0
        self._connecting: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._canary = False
        self._sung = False
        self._failure = ""

    async def follow_orders(self) -> None:
        """Do what the supervisor says, until it says no more."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            match order_in(line):
                case Connect() as order:
                    self._connect(order)
                case Close(why=why, retry_after=seconds):
                    self._disconnect()
                    self.gate.close(why, seconds)
                case Drain(retry_after=seconds):
                    self.gate.drain(seconds)
            self._changed.set()

    async def tell_state(self) -> None:
        """Tell the supervisor, again and again."""
        while True:
            state = State(
                run=self._run,
                ready=self.gate.ready,
                draining=self.gate.draining,
                in_flight=self.gate.in_flight - self._canary,
                canary=self._canary,
                failure=self._failure,
            )
            sys.stdout.buffer.write(state.line())
            sys.stdout.buffer.flush()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), TELL_SECONDS)
            self._changed.clear()

    async def keep_a_canary(self) -> None:
        """Draw the smallest storyboard whenever there was no request for long."""
        artifacts = Path(self._settings.artifacts)
        pause = self._settings.canary_seconds
        if canary_request(artifacts, 0) is None or not pause:
            return
        loop = asyncio.get_running_loop()
        while True:
            idle = loop.time() - self.gate.last_request
            if self.gate.in_flight or idle < pause:
                await asyncio.sleep(max(0.1, min(pause - idle, 1.0)))
                continue
            with suppress(Closed):
                request = canary_request(artifacts, time.time_ns() // 10**9)
                assert request is not None
                await self._draw_canary(request)
            await asyncio.sleep(min(pause, 1.0))

    async def _draw_canary(self, request: bytes) -> None:
        run = self._run
        upstream = self.gate.enter()
        self._canary = True
        self._changed.set()
        try:
            with suppress(grpc.RpcError, Closed):
                answers = await self.gate.ask(upstream, "canary", request)
                outcome = outcome_of(answers)
                if run == self._run:
                    self._failure = outcome if outcome and self._sung else ""
                    self._sung = self._sung or outcome == ""
                if (identifier := id_in(answers)) and outcome == "":
                    await self.gate.ask(upstream, "canary", acknowledgement(identifier))
        finally:
            self._canary = False
            self._changed.set()

    def _connect(self, order: Connect) -> None:
        self._disconnect()
        self._run = order.run
        self._sung, self._failure = False, ""
        upstream = Upstream(RunFolder(Path(order.folder)), order.models)
        self._connecting = asyncio.ensure_future(self._open(upstream))

    def _disconnect(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()

    async def _open(self, upstream: Upstream) -> None:
        try:
            await upstream.wait_until_ready()
        except asyncio.CancelledError:
            await upstream.close()
            raise
        self.gate.open(upstream)
        self._changed.set()
