"""Channels to owners: which are kept, what a dead connection costs, and how much they hold."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from desk_server import board
from front_server import streamed
from pods import free_port, left_of, two
from quick_clients import client_of
from waiting import soon

from lafi.front import peers as peers_module
from lafi.front import process
from lafi.front.control import PeerSettings
from lafi.front.peers import KEEPALIVE_MS, Owned, PeerRelay, Peers
from lafi.front.request_check import RequestRefused
from lafi.front.upstream import SERVICE
from lafi.wire.control import Command, Queue
from lafi.wire.events import Accepted
from lafi.wire.pods import Pod
from lafi_client.retry import RetryPolicy
from lafi_client.wire import control_request, pursued_request

OWNER = Pod("lafi-main", 2)
MIB = 2**20


class Caller:
    """A context as gRPC gives it to a handler."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return ()

    def time_remaining(self) -> float | None:
        return self._seconds


def peers_at(port: int) -> Peers:
    return Peers(PeerSettings(pod="lafi-main-1", template=f"127.0.0.{{ordinal}}:{port}"))


def owned() -> Owned:
    return Owned(OWNER, OWNER.new_identifier())


async def channel_of(peers: Peers) -> grpc.aio.Channel:
    async with peers.reached(owned(), Caller()) as channel:
        return channel


async def fail(channel: grpc.aio.Channel) -> None:
    """Nobody listens there."""
    await channel.unary_unary("/a/b")(b"", timeout=10)
    raise AssertionError


# Which channel is kept.


def test_a_call_that_fails_late_does_not_drop_the_channel_that_another_has_dialled() -> None:
    async def run() -> None:
        peers = peers_at(free_port())
        with suppress(RequestRefused):
            async with peers.reached(owned(), Caller()) as first:
                with suppress(RequestRefused):
                    async with peers.reached(owned(), Caller()) as same:
                        await fail(same)
                newer = await channel_of(peers)
                await fail(first)
        assert same is first
        assert newer is not first
        assert await channel_of(peers) is newer

    asyncio.run(run())


@asynccontextmanager
async def owner(**methods: grpc.RpcMethodHandler) -> AsyncIterator[Peers]:
    """Who passes calls on to an owner with these methods."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    peers = peers_at(server.add_insecure_port("127.0.0.2:0"))
    await server.start()
    try:
        yield peers
    finally:
        await server.stop(None)


def test_an_owner_that_let_a_deadline_pass_is_dialled_anew() -> None:
    async def answer(raw: bytes, context: Any) -> bytes:
        await asyncio.sleep(30 if raw == b"slow" else 0)
        return raw

    async def run() -> None:
        async with owner(ModelInfer=grpc.unary_unary_rpc_method_handler(answer)) as peers:
            assert await peers.call(owned(), b"a", Caller()) == b"a"
            first = await channel_of(peers)
            assert await peers.call(owned(), b"b", Caller()) == b"b"
            assert await channel_of(peers) is first, "one that works is kept"
            with pytest.raises(RequestRefused) as late:
                await peers.call(owned(), b"slow", Caller(0.3))
            assert late.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert await channel_of(peers) is not first

    asyncio.run(run())


def test_of_answers_that_nobody_takes_little_comes_here() -> None:
    sent = 0

    async def flood(raw: bytes, context: Any) -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(400):
            yield bytes(MIB)
            sent += 1

    async def run() -> None:
        nonlocal sent
        taken, forwarded = asyncio.Event(), 0

        async def forward(answer: bytes) -> None:
            nonlocal forwarded
            forwarded += 1
            if forwarded > 200:
                await taken.wait()

        async def refuse(text: str) -> None:
            raise AssertionError(text)

        async with owner(ModelStreamInfer=grpc.unary_stream_rpc_method_handler(flood)) as peers:
            relay = PeerRelay(peers, owned(), Caller(), forward, refuse)
            task = asyncio.ensure_future(relay.run(b""))
            last = -1
            while last != sent or forwarded <= 200:
                last = sent
                await asyncio.sleep(0.5)
            assert sent - 200 <= 5, "11 to 18 where the window of gRPC may grow"
            taken.set()
            await task
            assert forwarded == 400

    asyncio.run(run())


def test_a_call_that_the_owner_answers_is_in_flight_here(short_folder: Path) -> None:
    begun, hold = threading.Event(), threading.Event()
    with two(short_folder) as (first, second):

        def slowly(request: Any, context: Any) -> Iterator[Any]:
            begun.set()
            hold.wait(20)
            yield streamed(Queue())

        first.front.triton.stream = slowly
        command = Command(action="queue", id=first.pod.new_identifier())
        asked = second.front.stub().ModelInfer.future(control_request(command), timeout=20)
        assert begun.wait(10)
        second.front.loop.call_soon_threadsafe(second.front.gate.drain, 5.0)
        soon(lambda: second.front.gate.draining)
        assert second.front.gate.in_flight == 1
        hold.set()
        assert asked.result().raw_output_contents
        soon(lambda: second.front.gate.in_flight == 0)


# Connections that are dead although nobody closed them.


class Wire:
    """Between a front and an owner; once it is cut it carries nothing and closes nothing."""

    def __init__(self, ending: ExitStack, target: tuple[str, int]) -> None:
        self._cut = threading.Event()
        self._ending, self._target = ending, target
        self._listening = ending.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut.set()

    def _accept(self) -> None:
        while True:
            try:
                near = self._ending.enter_context(self._listening.accept()[0])
                far = self._ending.enter_context(socket.create_connection(self._target))
            except OSError:
                return
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(2**16):
                if not self._cut.is_set():
                    sink.sendall(data)
        except OSError:
            return


@contextmanager
def quick_keepalive(milliseconds: int) -> Iterator[None]:
    """A keepalive that a test can wait for, and fronts that take it."""
    share = milliseconds / KEEPALIVE_MS
    timed = ("keepalive_time_ms", "keepalive_timeout_ms", "ping_timeout_ms")
    options = [
        (name, int(value * share) if name.endswith(timed) else value)
        for name, value in peers_module._OPTIONS
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers_module, "_OPTIONS", options)
        patch.setattr(process, "PING_MS", int(process.PING_MS * share))
        yield


def test_a_stream_to_an_owner_that_fell_silent_for_ever_ends(short_folder: Path) -> None:
    with (
        quick_keepalive(1000),
        ExitStack() as ending,
        two(short_folder, open_gate=False) as (first, second),
    ):
        with client_of(first) as client:
            identifier = client.submit(board(1, detach=True))
        wire = Wire(ending, (first.front.host, first.front.port))
        request = pursued_request(Command(action="attach", id=identifier), lambda data: None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Peers, "target", lambda self, owner: f"dns:///127.0.0.1:{wire.port}")
            answers = second.front.stub().ModelStreamInfer(iter([request]), timeout=15)
            assert not next(answers).error_message
            wire.cut()
            (last,) = list(answers)
        assert "is of the server lafi-main-2, which takes no calls now" in last.error_message
        ending.close()


def test_a_stream_in_which_nothing_is_said_outlives_many_questions(short_folder: Path) -> None:
    assert process.PING_MS < KEEPALIVE_MS
    with quick_keepalive(200), two(short_folder, open_gate=False) as (first, second):
        with client_of(first) as client:
            identifier = client.submit(board(1, detach=True))
        with client_of(second, retries=RetryPolicy(retries=0)) as client:
            events = client.attach(identifier)
            assert isinstance(next(events), Accepted)
            threading.Event().wait(3)  # 15 questions; gRPC takes two that come too soon
            assert second.front.gate.in_flight == 1
            first.desk.gate.release(10)
            assert list(events)
        soon(lambda: not left_of(first, identifier))
