"""The synchronous client: one storyboard in, events and panels out as they come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from types import TracebackType

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lafi.board.storyboard import Storyboard
from lafi.wire.events import Event, Failed, PanelImage
from lafi_client.channel import open_channel, parse_target
from lafi_client.drawing import Drawing
from lafi_client.errors import LafiError, PanelFailed, ServerUnavailable, error_from_status
from lafi_client.patience import END_SECONDS, Deadline, Silence, Timeouts
from lafi_client.retry import RetryPolicy
from lafi_client.wire import MODEL_NAME, event_in, storyboard_request


class StoryboardClient:
    """Draws storyboards on the server at `url` (host:port of its gRPC port).

    timeout       seconds for a whole storyboard, repeats included; None is no limit
    idle_timeout  longest silence of a server that is drawing, seconds
    queue_timeout  longest wait for its turn of a storyboard that was accepted, seconds
    probe_interval  silence after which the server is asked whether it is alive, seconds
    retries       a RetryPolicy, or how often in a row to ask again without a new panel
    credentials   for TLS; default is a plain channel

    Use it as a context manager. Threads may share one client: each drawing has a stream of
    its own. Closing a generator (or leaving its loop) cancels the stream on the server.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        timeout: float | None = 3600.0,
        idle_timeout: float = 60.0,
        queue_timeout: float = 600.0,
        probe_interval: float = 5.0,
        retries: int | RetryPolicy = 4,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._target = parse_target(url)
        self._timeouts = Timeouts(timeout, idle_timeout, queue_timeout, probe_interval)
        self._retry = retries if isinstance(retries, RetryPolicy) else RetryPolicy(retries)
        self._channel = open_channel(self._target, credentials)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

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
        """Close the channel; streams still open are cancelled."""
        self._channel.close()

    def ready(self) -> bool:
        """Whether the server answers and has the storyboard model loaded."""
        request = service_pb2.ModelReadyRequest(name=MODEL_NAME)
        try:
            return bool(self._stub.ModelReady(request, timeout=self._timeouts.probe).ready)
        except grpc.RpcError:
            return False

    def draw(
        self, storyboard: Storyboard, *, only: Iterable[int] | None = None
    ) -> Generator[PanelImage, None, None]:
        """Yield each panel as it is finished, in the order in which they finish.

        `only` limits the drawing to these panel numbers. Raises PanelFailed after the last
        panel if some could not be drawn, and otherwise what `events` raises.
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
        """All panels in their order. A PanelFailed holds the panels that were drawn."""
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

        A broken stream is opened again for the panels that have not arrived; the events look
        as if it had never broken, except that the progress of a panel may begin anew.
        Raises StoryboardRefused, ServerUnavailable, DrawTimeout, or a plain LafiError for a
        fault of the server itself.
        """
        drawing = Drawing(storyboard, self._retry, only)
        deadline = Deadline(self._timeouts.overall)
        while not drawing.complete:
            try:
                yield from self._one_stream(drawing, deadline)
                drawing.end_stream()
            except LafiError as error:
                _sleep(drawing.delay_after(error), deadline)
        yield from drawing.last_events()

    def _one_stream(self, drawing: Drawing, deadline: Deadline) -> Generator[Event, None, None]:
        request = storyboard_request(drawing.next_storyboard())
        with closing(self._responses(request, deadline, drawing)) as responses:
            for response in responses:
                event = event_in(response, self._target)
                seen = None if event is None else drawing.receive(event)
                if seen is not None:
                    yield seen
                if drawing.stream_finished:
                    return

    def _responses(
        self, request: service_pb2.ModelInferRequest, deadline: Deadline, drawing: Drawing
    ) -> Generator[service_pb2.ModelStreamInferResponse, None, None]:
        deadline.check()
        call = self._stub.ModelStreamInfer(iter([request]), timeout=deadline.remaining())
        reader = _StreamReader(call)
        silence = Silence(self._timeouts, deadline)
        try:
            while True:
                silence.start(drawing.queued)
                response = self._next_response(reader, silence)
                if response is None:
                    return
                yield response
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise deadline.error() from error
            raise error_from_status(error.code(), error.details(), self._target) from error
        finally:
            if drawing.stream_finished:
                reader.let_end(END_SECONDS)
            reader.close()

    def _next_response(
        self, reader: _StreamReader, silence: Silence
    ) -> service_pb2.ModelStreamInferResponse | None:
        while True:
            try:
                return reader.get(silence.wait())
            except queue.Empty:
                silence.wait()
                self._probe()

    def _probe(self) -> None:
        """Raise ServerUnavailable if the silent server does not say that it is alive."""
        try:
            request = service_pb2.ServerLiveRequest()
            alive = self._stub.ServerLive(request, timeout=self._timeouts.probe).live
        except grpc.RpcError as error:
            raise ServerUnavailable(
                f"{self._target}: stopped answering ({error.details()})", retryable=True
            ) from error
        if not alive:
            raise ServerUnavailable(f"{self._target}: is shutting down", retryable=True)


class _StreamReader:
    """Reads a gRPC stream in a thread, because gRPC's own iterator cannot wait with a limit.

    The queue is short: a consumer that stops reading stops the reader, and then the server.
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
        """Wait, but no longer than this, until the server has ended the stream by itself."""
        end = time.monotonic() + seconds
        with suppress(queue.Empty, grpc.RpcError):
            while self.get(max(0.0, end - time.monotonic())) is not None:
                pass

    def close(self) -> None:
        """Cancel the call if it is still going on, and end the thread."""
        self._closed.set()
        self._call.cancel()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            for response in self._call:
                self._put(response)
            self._put(None)
        except Exception as error:  # every failure belongs to the thread that reads the queue
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
