"""The asynchronous version of lafi_client.client, on grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
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
from lafi_client.drawing import Drawing
from lafi_client.errors import (
    LafiError,
    PanelFailed,
    PicturesUnknown,
    ServerUnavailable,
    error_from_status,
)
from lafi_client.patience import END_SECONDS, Deadline, Silence, Timeouts
from lafi_client.retry import RETRIES, RetryPolicy
from lafi_client.sent_pictures import SentPictures
from lafi_client.wire import MODEL_NAME, control_request, event_in, pursued_request, queue_in


class AsyncStoryboardClient:
    """Draws storyboards from coroutines; arguments and errors as for StoryboardClient.

    Use it with `async with`, inside one event loop. Cancelling the drawing task, or closing the
    generator (`async with aclosing(client.draw(...))`), cancels the stream on the server.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        timeout: float | None = 3600.0,
        idle_timeout: float = 60.0,
        queue_timeout: float = 600.0,
        probe_interval: float = 5.0,
        retries: int | RetryPolicy = RETRIES,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str = "",
    ) -> None:
        self._target = parse_target(url)
        self._timeouts = Timeouts(timeout, idle_timeout, queue_timeout, probe_interval)
        self._retry = retries if isinstance(retries, RetryPolicy) else RetryPolicy(retries)
        self._sent = SentPictures()
        self._credentials = credentials_for(url, credentials)
        self._metadata = key_metadata(api_key)

    async def __aenter__(self) -> AsyncStoryboardClient:
        # A channel of grpc.aio belongs to the event loop that created it.
        options = channel_options(self._target)
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self._target, options)
        else:
            self._channel = grpc.aio.secure_channel(self._target, self._credentials, options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def ready(self) -> bool:
        """True if the server answers and has the storyboard model loaded."""
        request = service_pb2.ModelReadyRequest(name=MODEL_NAME)
        try:
            response = await self._stub.ModelReady(
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
        raise LafiError(f"{self._target}: the storyboard was not accepted")

    async def cancel(self, identifier: str) -> None:
        """Stop a storyboard by its id; see StoryboardClient.cancel."""
        await self._control(Command(action="cancel", id=identifier))

    async def queue(self) -> list[QueueEntry]:
        """The storyboards in flight; see StoryboardClient.queue."""
        return queue_in(await self._control(Command(action="queue")), self._target)

    async def _control(self, command: Command) -> service_pb2.ModelInferResponse:
        try:
            request = control_request(command)
            return await self._stub.ModelInfer(
                request, timeout=self._timeouts.probe, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise error_from_status(error.code(), error.details(), self._target) from error

    async def _pursue(self, pursuit: Pursuit) -> AsyncGenerator[Event, None]:
        """The events of one storyboard over as many streams as it takes."""
        deadline = Deadline(self._timeouts.overall)
        while not pursuit.complete:
            try:
                async with aclosing(self._one_stream(pursuit, deadline)) as events:
                    async for event in events:
                        yield event
                pursuit.end_stream()
            except PicturesUnknown as error:
                if not self._sent.forget(error.names):
                    raise
            except LafiError as error:
                await _sleep(pursuit.delay_after(error), deadline)
        await self._acknowledge(pursuit, last=True)
        for event in pursuit.last_events():
            yield event

    async def _acknowledge(self, pursuit: Pursuit, *, last: bool = False) -> None:
        """Let the server let go what the caller holds; it keeps for a day what it is not told."""
        for command in pursuit.held.due(last=last):
            try:
                await self._control(command)
            except ServerUnavailable as error:
                if error.retryable:
                    pursuit.held.not_told(command)
            except LafiError:
                continue

    async def _one_stream(
        self, pursuit: Pursuit, deadline: Deadline
    ) -> AsyncGenerator[Event, None]:
        asked = pursuit.next_request()
        request = pursued_request(asked, self._sent.name)
        async with aclosing(self._responses(request, deadline, pursuit)) as responses:
            async for response in responses:
                event = event_in(response, self._target)
                if event is None:
                    continue
                self._sent.answered(asked, event)
                seen = pursuit.receive(event)
                if seen is not None:
                    yield seen
                pursuit.took(event)
                await self._acknowledge(pursuit)
                if pursuit.stream_finished:
                    return

    async def _responses(
        self, request: service_pb2.ModelInferRequest, deadline: Deadline, pursuit: Pursuit
    ) -> AsyncGenerator[service_pb2.ModelStreamInferResponse, None]:
        deadline.check()
        call = self._stub.ModelStreamInfer(
            [request], timeout=deadline.remaining(), metadata=self._metadata
        )
        silence = Silence(self._timeouts, deadline)
        refused = False
        try:
            while True:
                silence.start(pursuit.queued)
                response = await self._next_response(call, silence)
                if response is grpc.aio.EOF:
                    return
                refused = bool(response.error_message)
                yield response
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise deadline.error() from error
            raise error_from_status(error.code(), error.details(), self._target) from error
        finally:
            if pursuit.stream_finished or refused:
                await _let_end(call)
            call.cancel()

    async def _next_response(
        self, call: grpc.aio.StreamStreamCall, silence: Silence
    ) -> service_pb2.ModelStreamInferResponse:
        reading = asyncio.ensure_future(call.read())
        try:
            while not (await asyncio.wait({reading}, timeout=silence.wait()))[0]:
                silence.wait()
                await self._probe()
            return reading.result()
        finally:
            reading.cancel()

    async def _probe(self) -> None:
        """Check a silent server. Raises ServerUnavailable if it does not answer."""
        try:
            request = service_pb2.ServerLiveRequest()
            answer = await self._stub.ServerLive(
                request, timeout=self._timeouts.probe, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise ServerUnavailable(
                f"{self._target}: stopped answering ({error.details()})", retryable=True
            ) from error
        if not answer.live:
            raise ServerUnavailable(f"{self._target}: is shutting down", retryable=True)


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
