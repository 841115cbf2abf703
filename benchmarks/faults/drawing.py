"""Storyboards for the tries, and clients that note what they get."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.wire.model_spec import bytes_tensor
from lafi_client import LafiError, StoryboardClient
from lafi_client.retry import RetryPolicy
from lafi_client.wire import bytes_request, storyboard_request

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PROMPTS = ("a child is running", "a woman in a red coat", "a man with a hat", "a girl waves")


def board(number: int, panels: int = 8, steps: int = 2, *, detach: bool = False) -> Storyboard:
    """Panels that no other number has, 32 px."""
    return Storyboard(
        width=32,
        height=32,
        sampling=Sampling(stages=(SamplingStage(steps=steps),)),
        panels=tuple(
            Panel(prompt=PROMPTS[place % len(PROMPTS)], seed=1000 * number + place)
            for place in range(panels)
        ),
        detach=detach,
    )


def client_of(*urls: str, retries: int = 600) -> StoryboardClient:
    """A client that waits for a restart, and no longer between two tries than a second."""
    return StoryboardClient(urls, retries=RetryPolicy(retries, max_delay=1.0))


@dataclass
class Drawn:
    """The panels of one storyboard as a client got them: digests of the files, by number."""

    wanted: int
    panels: dict[int, str] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    doubled: list[int] = field(default_factory=list)
    error: str = ""
    first: threading.Event = field(default_factory=threading.Event)

    def take(self, number: int, png: bytes, *, kept: bool) -> None:
        """Note a panel."""
        self.take_digest(number, hashlib.sha256(png).hexdigest(), kept=kept)

    def take_digest(self, number: int, digest: str, *, kept: bool) -> None:
        """Note a panel by the SHA-256 of its file."""
        if number in self.panels:
            self.doubled.append(number)
        self.panels[number] = digest
        if kept:
            self.kept.add(number)
        self.first.set()

    def wrong(self) -> str:
        """What is missing or doubled; "" if nothing is."""
        missing = sorted({*range(self.wanted)} - {*self.panels})
        if self.error or missing or self.doubled:
            return f"{self.error} missing {missing} doubled {self.doubled}"
        return ""


def draw(client: StoryboardClient, wanted: Storyboard, drawn: Drawn | None = None) -> Drawn:
    """Draw to the end; an error is noted."""
    drawn = drawn or Drawn(len(wanted.panels))
    try:
        for panel in client.draw(wanted):
            drawn.take(panel.panel, panel.png, kept=panel.kept)
    except LafiError as error:
        drawn.error = str(error)
    return drawn


@contextmanager
def drawing(url: str, wanted: Storyboard) -> Iterator[Drawn]:
    """The storyboard is drawn by a client in a thread, which is waited for at the end."""
    drawn = Drawn(len(wanted.panels))

    def run() -> None:
        with client_of(url) as client:
            draw(client, wanted, drawn)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield drawn
    thread.join(300)
    if thread.is_alive():
        drawn.error = "its client still waits after 300 s"


def document_request(document: bytes, picture: bytes = b"") -> service_pb2.ModelInferRequest:
    """A storyboard as JSON, whatever it is, with one element in REFERENCES."""
    return bytes_request(
        "storyboard",
        {"STORYBOARD": bytes_tensor(document), "REFERENCES": bytes_tensor(picture)},
    )


@contextmanager
def bare_stub(url: str) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    """gRPC with nothing of ours in it."""
    with grpc.insecure_channel(url, OPTIONS) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


class BareStream:
    """A storyboard's stream as a client without our retries has it, read by a thread."""

    def __init__(self, url: str, wanted: Storyboard) -> None:
        self._channel = grpc.insecure_channel(url, OPTIONS)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._call = stub.ModelStreamInfer(iter([storyboard_request(wanted)]), timeout=600)
        self.answers: list[service_pb2.ModelStreamInferResponse] = []
        self.ended = threading.Event()
        self.ended_at = 0.0
        self.error = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave, at once."""
        self._call.cancel()
        self._thread.join(10)
        self._channel.close()

    def _read(self) -> None:
        try:
            for answer in self._call:
                self.answers.append(answer)
                if answer.error_message:
                    self.error = answer.error_message
                    break
        except grpc.RpcError as error:
            self.error = str(error.code().name)
        self.ended_at = time.monotonic()
        self.ended.set()
