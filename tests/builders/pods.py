"""Fronts of a set of pods on loopback, each before a desk with a journal of its own."""

import errno
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from desk_server import Client, Server
from fake_triton import png
from front_server import FrontServer, front_server, streamed
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor

from lafi.front.control import PeerSettings
from lafi.front.run_folder import REQUEST_KEY
from lafi.wire.caller import CALLER, Caller
from lafi.wire.events import PanelImage
from lafi.wire.pods import Pod
from lafi_client.retry import RetryPolicy

PATIENT = RetryPolicy(retries=100, first_delay=0.02, max_delay=0.05)
ORDINALS = (2, 3, 4)
"""Of pods in tests, and the last numbers of their addresses."""


@dataclass
class PodServer:
    """One of them. `pod.ordinal` is the last number of its address."""

    pod: Pod
    desk: Server
    front: FrontServer

    @property
    def url(self) -> str:
        return self.front.url


class _Waiting(Client):
    """A client whose leaving the front tells by a file."""

    def __init__(self, caller: Caller | None, cancelled: Path) -> None:
        super().__init__(caller)
        self._cancelled = cancelled

    def is_cancelled(self) -> bool:
        return self._cancelled.exists()


@contextmanager
def pod_server(
    folder: Path, ordinal: int, port: int, template: str = "", **settings: Any
) -> Iterator[PodServer]:
    """folder: a short path. template: default: where the others are. settings: of the front."""
    pod = Pod("lafi-main", ordinal)
    peers = PeerSettings(
        pod=str(pod),
        template=template or f"127.0.0.{{ordinal}}:{port}",
        **settings.pop("peers", {}),
    )
    place = folder / str(ordinal)
    place.mkdir(exist_ok=True)
    desk = Server(place / "desk", pod=pod, open_gate=settings.pop("open_gate", True))
    address = f"{_address(ordinal)}:{port}"
    tls = settings.get("tls")
    life = Path(tempfile.mkdtemp(dir=place))
    try:
        with front_server(life, address=address, peers=peers.like(tls), **settings) as front:
            front.triton.stream = _answers(desk, front)
            yield PodServer(pod, desk, front)
    finally:
        desk.end()


@contextmanager
def two(folder: Path, **settings: Any) -> Iterator[tuple[PodServer, PodServer]]:
    """On another port if somebody takes it before they listen."""
    with ExitStack() as ending:
        for attempt in range(5):
            port, starting = free_port(), ExitStack()
            try:
                pods = [
                    starting.enter_context(pod_server(folder, n, port, **dict(settings)))
                    for n in ORDINALS[:2]
                ]
            except RuntimeError as error:
                starting.close()
                if attempt == 4 or "Failed to bind" not in str(error):
                    raise
                continue
            ending.push(starting)
            break
        yield pods[0], pods[1]


def left_of(pod: PodServer, identifier: str) -> bool:
    """Whether its journal still holds the storyboard."""
    return pod.desk.keeper.has(identifier)


def free_port(ordinals: Sequence[int] = ORDINALS) -> int:
    """One that is free on the addresses of these pods, when asked."""
    for _ in range(100):
        with ExitStack() as held:
            first = held.enter_context(socket.create_server((_address(ordinals[0]), 0)))
            port = int(first.getsockname()[1])
            try:
                for ordinal in ordinals[1:]:
                    held.enter_context(socket.create_server((_address(ordinal), port)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return port
    raise AssertionError("no port was free on all addresses")


def _address(ordinal: int) -> str:
    return f"127.0.0.{ordinal}"


def _answers(desk: Server, front: FrontServer) -> Callable[..., Iterator[Any]]:
    def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        told = request.parameters[CALLER].string_param
        caller = Caller.model_validate_json(told) if told else None
        cancelled = front.folder.cancelled(request.parameters[REQUEST_KEY].string_param)
        tensors = {
            tensor.name: deserialize_bytes_tensor(raw)
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        client = _Waiting(caller, cancelled)
        desk.desk.receive(tensors.__getitem__, client)
        given = 0
        while not client.done.is_set() or given < len(client.sent):
            if given == len(client.sent):
                time.sleep(0.002)
                continue
            said = client.sent[given]
            given += 1
            if isinstance(said, str):
                yield service_pb2.ModelStreamInferResponse(error_message=said)
            else:
                # The desk's pictures are three letters, which no client takes.
                shown = isinstance(said, PanelImage)
                yield streamed(said.model_copy(update={"png": png()}) if shown else said)

    return stream
