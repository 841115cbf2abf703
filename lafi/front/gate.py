"""Whether requests may pass, and who is under way: what the supervisor says, and what it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import grpc

from lafi.front.upstream import Relay, Upstream


class Closed(Exception):
    """No request may pass now. `retry_after`: seconds after which another try makes sense."""

    def __init__(self, why: str, retry_after: float) -> None:
        super().__init__(f"{why}; try again later, in about {retry_after:.0f} s")
        self.retry_after = retry_after


class UnderWay(Protocol):
    """A request of a stream on its way to whoever answers it."""

    left: bool

    def leave(self) -> None:
        """Nobody waits for the answers any more."""

    async def run(self, request: bytes) -> None:
        """Send the request and pass on every answer."""


class Gate:
    """Lets requests pass to the run of Triton Server that is ready, if there is one."""

    def __init__(self, retry_after: float = 20.0) -> None:
        """retry_after: seconds that a start of the server is expected to take."""
        self._upstream: Upstream | None = None
        self._why = "the server is starting"
        self._retry_after = retry_after
        self.draining = False
        """Whether nothing new may pass, since the server is about to stop."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._relays: set[UnderWay] = set()
        self._calls = 0
        self.last_request = asyncio.get_running_loop().time()
        """When the last request came or ended, on the loop's clock; questions do not count."""

    @property
    def ready(self) -> bool:
        """Whether a request would pass."""
        return self._upstream is not None and not self.draining

    @property
    def in_flight(self) -> int:
        """Requests that a client waits for."""
        return self._calls + sum(not relay.left for relay in self._relays)

    def open(self, upstream: Upstream) -> None:
        """Let requests pass to this run."""
        self._upstream = upstream

    def close(self, why: str, retry_after: float) -> None:
        """Let none pass, and end those that are under way."""
        self._why, self._retry_after = why, retry_after
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.lose(why)
            self._keep(upstream.close())

    def drain(self, retry_after: float) -> None:
        """Let nothing new pass; what is under way goes on."""
        self.draining = True
        self._why, self._retry_after = "the server is shutting down", retry_after

    def current(self) -> Upstream:
        """The run that answers questions about itself. Raises Closed."""
        if self._upstream is None or self.draining:
            raise Closed(self._why, self._retry_after)
        return self._upstream

    def enter(self) -> Upstream:
        """The run that takes a new request, which has work from now on. Raises Closed."""
        upstream = self.current()
        self.last_request = asyncio.get_running_loop().time()
        return upstream

    def closed(self, why: str) -> Closed:
        """The error for requests that were under way when the run was lost."""
        return Closed(why, self._retry_after)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """A plain call is in flight, also one that another server answers."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    async def call(
        self,
        upstream: Upstream,
        method: str,
        request: bytes,
        ended: Callable[[], None] = lambda: None,
    ) -> bytes:
        """One plain call, which goes on if the caller is cancelled. Raises Closed, RpcError.

        ended: called when it is over, whoever waited for it.
        """
        task = self._keep(upstream.call(method, request))
        task.add_done_callback(lambda _: ended())
        with self.counted():
            waited: set[asyncio.Future[Any]] = {task, upstream.lost}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise self.closed(upstream.lost.result())
        try:
            return bytes(await task)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE and upstream.lost.done():
                raise self.closed(upstream.lost.result()) from None
            raise

    def start(self, relay: UnderWay, request: bytes) -> asyncio.Task[None]:
        """Send a request of a stream on its way; it goes on without whoever waits for it."""
        self._relays.add(relay)
        task = self._keep(relay.run(request))
        task.add_done_callback(lambda _: self._end(relay))
        return task

    def _end(self, relay: UnderWay) -> None:
        self._relays.discard(relay)
        self.last_request = asyncio.get_running_loop().time()

    async def ask(self, upstream: Upstream, key: str, request: bytes) -> list[bytes]:
        """All answers to one request of a stream, once they are there. Raises Closed, RpcError."""
        answers: list[bytes] = []

        async def keep(answer: bytes) -> None:
            answers.append(answer)

        relay = Relay(upstream, key, keep)
        task = self.start(relay, request)
        try:
            waited: set[asyncio.Future[Any]] = {task, upstream.lost}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                relay.leave()
        if not task.done():
            raise self.closed(upstream.lost.result())
        await task
        return answers

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that nobody has to wait for."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        with suppress(asyncio.CancelledError):
            task.exception()  # seen, so that asyncio does not warn of an error that nobody awaits
