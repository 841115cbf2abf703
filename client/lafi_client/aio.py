"""The asynchronous version of lafi_client.client, on grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from types import TracebackType

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lafi.board.storyboard import Storyboard
from lafi.wire.control import Command, QueueEntry
from lafi.wire.events import Accepted, Event, Failed, PanelImage
from lafi_client.access import key_metadata
from lafi_client.attached import Attached, Pursuit
from lafi_client.channel import channel_options, credentials_for, parse_target
from lafi_client.course import Course
from lafi_client.drawing import Drawing
from lafi_client.errors import (
    LafiError,
    PanelFailed,
    PicturesUnknown,
    ServerUnavailable,
    StoryboardUnknown,
    error_from_status,
)
from lafi_client.patience import END_SECONDS, Deadline, Silence, Timeouts
from lafi_client.retry import RETRIES, RetryPolicy
from lafi_client.sent_pictures import SentPictures
from lafi_client.servers import Servers, addresses
from lafi_client.wire import MODEL_NAME, control_request, event_in, pursued_request, queue_in


class AsyncStoryboardClient:
    """Draws storyboards from coroutines; arguments and errors as for StoryboardClient.

    Use it with `async with`, inside one event loop. Cancelling the drawing task, or closing the
    generator (`async with aclosing(client.draw(...))`), cancels the stream on the server.
    """

    def __init__(
        self,
        url: str | Sequence[str] = "127.0.0.1:8001",
        *,
        timeout: float | None = 3600.0,
        idle_timeout: float = 60.0,
        queue_timeout: float = 600.0,
        probe_interval: float = 5.0,
        retries: int | RetryPolicy = RETRIES,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str = "",
    ) -> None:
        self._targets = {each: parse_target(each) for each in addresses(url)}
        self._timeouts = Timeouts(timeout, idle_timeout, queue_timeout, probe_interval)
        self._retry = retries if isinstance(retries, RetryPolicy) else RetryPolicy(retries)
        self._credentials = credentials
        self._metadata = key_metadata(api_key)

    async def __aenter__(self) -> AsyncStoryboardClient:
        # A channel of grpc.aio belongs to the event loop that created it.
        opened = [
            _Server(target, credentials_for(url, self._credentials))
            for url, target in self._targets.items()
        ]
        self._servers = Servers(opened)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers.all:
            await server.channel.close()

    async def ready(self) -> bool:
        """True if a server answers and has the storyboard model loaded."""
        for server in self._servers.all:
            if await self._is_ready(server):
                return True
        return False

    async def _is_ready(self, server: _Server) -> bool:
        request = service_pb2.ModelReadyRequest(name=MODEL_NAME)
        try:
            response = await server.stub.ModelReady(
                request, timeout=self._timeouts.probe, metadata=self._metadata
            )
        except grpc.RpcError:
            return False
        return bool(response.ready)

    async def draw(
        self, storyboard: Storyboard, *, only: Iterable[int] | None = None
    ) -> AsyncGenerator[PanelImage, None]:
        """Yield each panel as it is finished; see StoryboardClient.draw."""
        failures = []
        async with aclosing(self.events(storyboard, only=only)) as events:
            async for event in events:
                if isinstance(event, PanelImage):
                    yield event
                elif isinstance(event, Failed):
                    failures.append(event)
        if failures:
            raise PanelFailed(failures)

    async def draw_all(
        self, storyboard: Storyboard, *, only: Iterable[int] | None = None
    ) -> list[PanelImage]:
        """All panels in order. If some failed, PanelFailed holds the others."""
        panels: list[PanelImage] = []
        try:
            async with aclosing(self.draw(storyboard, only=only)) as drawn:
                async for panel in drawn:
                    panels.append(panel)
        except PanelFailed as error:
            raise PanelFailed(error.failures, _in_order(panels)) from error
        return _in_order(panels)

    async def events(
        self, storyboard: Storyboard, *, only: Iterable[int] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield every event; see StoryboardClient.events."""
        async with aclosing(self._pursue(Drawing(storyboard, self._retry, only))) as events:
            async for event in events:
                yield event

    async def attach(self, identifier: str) -> AsyncGenerator[Event, None]:
        """Yield the events of a storyboard by its id; see StoryboardClient.attach."""
        async with aclosing(self._pursue(Attached(identifier, self._retry))) as events:
            async for event in events:
                yield event

    async def submit(self, storyboard: Storyboard) -> str:
        """Have a storyboard drawn without waiting; see StoryboardClient.submit."""
        detached = storyboard.model_copy(update={"detach": True})
        async with aclosing(self.events(detached)) as events:
            async for event in events:
                if isinstance(event, Accepted):
                    return event.id
        raise LafiError("the storyboard was not accepted")

    async def cancel(self, identifier: str) -> None:
        """Stop a storyboard by its id; see StoryboardClient.cancel."""
        command = Command(action="cancel", id=identifier)
        *others, last = self._servers.all
        for server in others:
            with suppress(StoryboardUnknown, ServerUnavailable):
                await self._control(command, server)
                return
        await self._control(command, last)

    async def queue(self) -> list[QueueEntry]:
        """The storyboards in flight; see StoryboardClient.queue."""
        command = Command(action="queue")
        return [
            entry
            for server in self._servers.all
            for entry in queue_in(await self._control(command, server), server.target)
        ]

    async def _control(self, command: Command, server: _Server) -> service_pb2.ModelInferResponse:
        try:
            request = control_request(command)
            return await server.stub.ModelInfer(
                request, timeout=self._timeouts.probe, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise error_from_status(error.code(), error.details(), server.target) from error

    async def _pursue(self, pursuit: Pursuit) -> AsyncGenerator[Event, None]:
        """The events of one storyboard over as many streams as it takes."""
        deadline = Deadline(self._timeouts.overall)
        course = Course(pursuit, self._servers)
        while not pursuit.complete:
            try:
                async with aclosing(self._one_stream(course, deadline)) as events:
                    async for event in events:
                        yield event
                pursuit.end_stream()
            except PicturesUnknown as error:
                if not course.server.sent.forget(error.names):
                    raise
            except LafiError as error:
                await _sleep(course.delay_after(error), deadline)
        await self._acknowledge(course, last=True)
        for event in pursuit.last_events():
            yield event

    async def _acknowledge(self, course: Course[_Server], *, last: bool = False) -> None:
        """Let the server let go what the caller holds; it keeps for a day what it is not told."""
        pursuit = course.pursuit
        for command in pursuit.held.due(last=last):
            try:
                await self._control(command, course.server_of(command.id))
            except ServerUnavailable as error:
                if error.retryable:
                    pursuit.held.not_told(command)
            except LafiError:
                continue

    async def _one_stream(
        self, course: Course[_Server], deadline: Deadline
    ) -> AsyncGenerator[Event, None]:
        pursuit, server = course.pursuit, course.server
        asked = pursuit.next_request()
        request = pursued_request(asked, server.sent.name)
        async with aclosing(self._responses(request, deadline, course)) as responses:
            async for response in responses:
                event = event_in(response, server.target)
                if event is None:
                    continue
                server.sent.answered(asked, event)
                course.note(event)
                seen = pursuit.receive(event)
                if seen is not None:
                    yield seen
                pursuit.took(event)
                await self._acknowledge(course)
                if pursuit.stream_finished:
                    return

    async def _responses(
        self, request: service_pb2.ModelInferRequest, deadline: Deadline, course: Course[_Server]
    ) -> AsyncGenerator[service_pb2.ModelStreamInferResponse, None]:
        deadline.check()
        pursuit, server = course.pursuit, course.server
        call = server.stub.ModelStreamInfer(
            [request], timeout=deadline.remaining(), metadata=self._metadata
        )
        silence = Silence(self._timeouts, deadline)
        refused = False
        try:
            while True:
                silence.start(pursuit.queued)
                response = await self._next_response(call, silence, server)
                if response is grpc.aio.EOF:
                    return
                refused = bool(response.error_message)
                yield response
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise deadline.error() from error
            raise error_from_status(error.code(), error.details(), server.target) from error
        finally:
            if pursuit.stream_finished or refused:
                await _let_end(call)
            call.cancel()

    async def _next_response(
        self, call: grpc.aio.StreamStreamCall, silence: Silence, server: _Server
    ) -> service_pb2.ModelStreamInferResponse:
        reading = asyncio.ensure_future(call.read())
        try:
            while not (await asyncio.wait({reading}, timeout=silence.wait()))[0]:
                silence.wait()
                await self._probe(server)
            return reading.result()
        finally:
            reading.cancel()

    async def _probe(self, server: _Server) -> None:
        """Check a silent server. Raises ServerUnavailable if it does not answer."""
        try:
            request = service_pb2.ServerLiveRequest()
            answer = await server.stub.ServerLive(
                request, timeout=self._timeouts.probe, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise ServerUnavailable(
                f"{server.target}: stopped answering ({error.details()})", retryable=True
            ) from error
        if not answer.live:
            raise ServerUnavailable(f"{server.target}: is shutting down", retryable=True)


class _Server:
    """One server: its channel in this event loop, and which pictures it has."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None) -> None:
        options = channel_options(target)
        self.target = target
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(target, options)
        else:
            self.channel = grpc.aio.secure_channel(target, credentials, options)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        self.sent = SentPictures()


async def _let_end(call: grpc.aio.StreamStreamCall) -> None:
    """Wait a short time for the server to end the stream by itself."""
    with suppress(TimeoutError, grpc.RpcError):
        async with asyncio.timeout(END_SECONDS):
            while await call.read() is not grpc.aio.EOF:
                pass


def _in_order(panels: list[PanelImage]) -> list[PanelImage]:
    return sorted(panels, key=lambda image: image.panel)


async def _sleep(seconds: float, deadline: Deadline) -> None:
    remaining = deadline.remaining()
    await asyncio.sleep(seconds if remaining is None else min(seconds, remaining))
