"""The synchronous client: one storyboard in, a stream of events and panels out."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, suppress
from types import TracebackType

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lafi.board.storyboard import Storyboard
from lafi.wire.control import Command, QueueEntry
from lafi.wire.events import Accepted, Event, Failed, PanelImage
from lafi_client.access import key_metadata
from lafi_client.attached import Attached, Pursuit
from lafi_client.channel import credentials_for, open_channel, parse_target
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


class StoryboardClient:
    """Draws storyboards on the server at `url` (host:port of its gRPC port).

    url: also several, with commas between them or as a list. Storyboards go round; one whose server
    is lost, or takes no more, goes on at the next. Servers that share a store draw nothing twice.
    `dns:///host:port` is one address for all servers that the name has: gRPC takes another one for
    each call, so servers behind it must find each other's storyboards (client/WIRE.md, Several
    servers behind one address).

    timeout         seconds for a whole storyboard with all retries; None: no limit
    idle_timeout    seconds that a drawing server may stay silent
    queue_timeout   seconds that an accepted storyboard may wait for its turn
    probe_interval  seconds of silence before the server is asked whether it is alive
    retries         a RetryPolicy, or the number of retries in a row without a new panel
    credentials     for TLS; default: none, or the usual authorities for a url with grpcs://
    api_key         of a server with keys; it is sent with every call and written nowhere

    Use it as a context manager. Threads may share one client: each drawing has its own stream.
    Closing a generator (or leaving its loop) cancels the stream on the server.
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
        self._timeouts = Timeouts(timeout, idle_timeout, queue_timeout, probe_interval)
        self._retry = retries if isinstance(retries, RetryPolicy) else RetryPolicy(retries)
        self._metadata = key_metadata(api_key)
        self._servers = Servers([_Server(each, credentials) for each in addresses(url)])

    def __enter__(self) -> StoryboardClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all channels. Open streams are cancelled."""
        for server in self._servers.all:
            server.channel.close()

    def ready(self) -> bool:
        """True if a server answers and has the storyboard model loaded."""
        return self.serves(MODEL_NAME)

    def serves(self, model: str) -> bool:
        """True if a server answers and has this model loaded, such as `identity`."""
        return any(self._has_ready(server, model) for server in self._servers.all)

    def _has_ready(self, server: _Server, model: str) -> bool:
        request = service_pb2.ModelReadyRequest(name=model)
        try:
            answer = server.stub.ModelReady(
                request, timeout=self._timeouts.probe, metadata=self._metadata
            )
        except grpc.RpcError:
            return False
        return bool(answer.ready)

    def draw(
        self, storyboard: Storyboard, *, only: Iterable[int] | None = None
    ) -> Generator[PanelImage, None, None]:
        """Yield panels in the order in which they finish.

        `only`: numbers of the panels to draw; default: all. Raises PanelFailed after the last
        panel if some could not be drawn, and otherwise the errors of `events`.
        """
        failures = []
        with closing(self.events(storyboard, only=only)) as events:
            for event in events:
                if isinstance(event, PanelImage):
                    yield event
                elif isinstance(event, Failed):
                    failures.append(event)
        if failures:
            raise PanelFailed(failures)

    def draw_all(
        self, storyboard: Storyboard, *, only: Iterable[int] | None = None
    ) -> list[PanelImage]:
        """All panels in order. If some failed, PanelFailed holds the others."""
        panels: list[PanelImage] = []
        try:
            panels.extend(self.draw(storyboard, only=only))
        except PanelFailed as error:
            raise PanelFailed(error.failures, _in_order(panels)) from error
        return _in_order(panels)

    def events(
        self, storyboard: Storyboard, *, only: Iterable[int] | None = None
    ) -> Generator[Event, None, None]:
        """Yield every event: Accepted, Progress, Portrait, PanelImage, Failed, then Finished.

        If the stream breaks, a new one is opened for the missing panels. The events are the same
        as without the break, except that the progress of a panel may start again from 0.
        Raises StoryboardRefused, ServerUnavailable, DrawTimeout, or a plain LafiError for a
        bug in the server.
        """
        yield from self._pursue(Drawing(storyboard, self._retry, only))

    def attach(self, identifier: str) -> Generator[Event, None, None]:
        """Yield the events of a storyboard that was accepted under this id, by any client.

        Finished panels come at once, and the others as they are drawn. Of previews and progress
        only those come that another client does not get. Raises StoryboardUnknown for an id that
        the server does not know or has let go, and otherwise the errors of `events`.
        """
        yield from self._pursue(Attached(identifier, self._retry))

    def submit(self, storyboard: Storyboard) -> str:
        """Have a storyboard drawn without waiting for it; returns the id with which to `attach`.

        Raises the errors of `events`; the server refuses where it keeps no panels.
        """
        detached = storyboard.model_copy(update={"detach": True})
        with closing(self.events(detached)) as events:
            for event in events:
                if isinstance(event, Accepted):
                    return event.id
        raise LafiError("the storyboard was not accepted")

    def cancel(self, identifier: str) -> None:
        """Stop a storyboard by its id, at its next step. Raises StoryboardUnknown."""
        command = Command(action="cancel", id=identifier)
        *others, last = self._servers.all
        for server in others:
            with suppress(StoryboardUnknown, ServerUnavailable):
                self._control(command, server)
                return
        self._control(command, last)

    def queue(self) -> list[QueueEntry]:
        """The storyboards in flight, of each server in order of arrival."""
        command = Command(action="queue")
        return [
            entry
            for server in self._servers.all
            for entry in queue_in(self._control(command, server), server.target)
        ]

    def _control(self, command: Command, server: _Server) -> service_pb2.ModelInferResponse:
        try:
            request = control_request(command)
            return server.stub.ModelInfer(
                request, timeout=self._timeouts.probe, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise error_from_status(error.code(), error.details(), server.target) from error

    def _pursue(self, pursuit: Pursuit) -> Generator[Event, None, None]:
        """The events of one storyboard over as many streams as it takes."""
        deadline = Deadline(self._timeouts.overall)
        course = Course(pursuit, self._servers)
        while not pursuit.complete:
            try:
                yield from self._one_stream(course, deadline)
                pursuit.end_stream()
            except PicturesUnknown as error:
                if not course.server.sent.forget(error.names):
                    raise
            except LafiError as error:
                _sleep(course.delay_after(error), deadline)
        self._acknowledge(course, last=True)
        yield from pursuit.last_events()

    def _acknowledge(self, course: Course[_Server], *, last: bool = False) -> None:
        """Let the server let go what the caller holds; it keeps for a day what it is not told."""
        pursuit = course.pursuit
        for command in pursuit.held.due(last=last):
            try:
                self._control(command, course.server_of(command.id))
            except ServerUnavailable as error:
                if error.retryable:
                    pursuit.held.not_told(command)
            except LafiError:
                continue

    def _one_stream(
        self, course: Course[_Server], deadline: Deadline
    ) -> Generator[Event, None, None]:
        pursuit, server = course.pursuit, course.server
        asked = pursuit.next_request()
        request = pursued_request(asked, server.sent.name)
        with closing(self._responses(request, deadline, course)) as responses:
            for response in responses:
                event = event_in(response, server.target)
                if event is None:
                    continue
                server.sent.answered(asked, event)
                course.note(event)
                seen = pursuit.receive(event)
                if seen is not None:
                    yield seen
                pursuit.took(event)
                self._acknowledge(course)
                if pursuit.stream_finished:
                    return

    def _responses(
        self, request: service_pb2.ModelInferRequest, deadline: Deadline, course: Course[_Server]
    ) -> Generator[service_pb2.ModelStreamInferResponse, None, None]:
        deadline.check()
        pursuit, server = course.pursuit, course.server
        call = server.stub.ModelStreamInfer(
            iter([request]), timeout=deadline.remaining(), metadata=self._metadata
        )
        reader = _StreamReader(call)
        silence = Silence(self._timeouts, deadline)
        refused = False
        try:
            while True:
                silence.start(pursuit.queued)
                response = self._next_response(reader, silence, server)
                if response is None:
                    return
                refused = bool(response.error_message)
                yield response
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise deadline.error() from error
            raise error_from_status(error.code(), error.details(), server.target) from error
        finally:
            if pursuit.stream_finished or refused:
                reader.let_end(END_SECONDS)
            reader.close()

    def _next_response(
        self, reader: _StreamReader, silence: Silence, server: _Server
    ) -> service_pb2.ModelStreamInferResponse | None:
        while True:
            try:
                return reader.get(silence.wait())
            except queue.Empty:
                silence.wait()
                self._probe(server)

    def _probe(self, server: _Server) -> None:
        """Check a silent server. Raises ServerUnavailable if it does not answer."""
        try:
            request = service_pb2.ServerLiveRequest()
            alive = server.stub.ServerLive(
                request, timeout=self._timeouts.probe, metadata=self._metadata
            ).live
        except grpc.RpcError as error:
            raise ServerUnavailable(
                f"{server.target}: stopped answering ({error.details()})", retryable=True
            ) from error
        if not alive:
            raise ServerUnavailable(f"{server.target}: is shutting down", retryable=True)


class _Server:
    """One server: its channel, and which pictures it has."""

    def __init__(self, url: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.target = parse_target(url)
        self.channel = open_channel(self.target, credentials_for(url, credentials))
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        self.sent = SentPictures()


class _StreamReader:
    """Reads a gRPC stream in a thread, because gRPC's own iterator has no timeout.

    The queue is short: if the consumer stops reading, so does this thread, and flow control
    then stops the server.
    """

    def __init__(self, call: grpc.CallIterator) -> None:
        self._call = call
        self._items: queue.Queue[service_pb2.ModelStreamInferResponse | Exception | None]
        self._items = queue.Queue(maxsize=4)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lafi-stream", daemon=True)
        self._thread.start()

    def get(self, wait: float) -> service_pb2.ModelStreamInferResponse | None:
        """The next response; None at the end. Raises queue.Empty after `wait` seconds."""
        item = self._items.get(timeout=wait)
        if isinstance(item, Exception):
            raise item
        return item

    def let_end(self, seconds: float) -> None:
        """Wait at most `seconds` for the server to end the stream by itself."""
        end = time.monotonic() + seconds
        with suppress(queue.Empty, grpc.RpcError):
            while self.get(max(0.0, end - time.monotonic())) is not None:
                pass

    def close(self) -> None:
        """Cancel the call if it is still running, and end the thread."""
        self._closed.set()
        self._call.cancel()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            for response in self._call:
                self._put(response)
            self._put(None)
        except Exception as error:  # raised by the thread that reads the queue
            self._put(error)

    def _put(self, item: service_pb2.ModelStreamInferResponse | Exception | None) -> None:
        while not self._closed.is_set():
            try:
                self._items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return


def _in_order(panels: list[PanelImage]) -> list[PanelImage]:
    return sorted(panels, key=lambda image: image.panel)


def _sleep(seconds: float, deadline: Deadline) -> None:
    remaining = deadline.remaining()
    time.sleep(seconds if remaining is None else min(seconds, remaining))
