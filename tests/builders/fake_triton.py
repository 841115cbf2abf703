"""A real gRPC server on loopback that speaks Triton Server's protocol and follows a script."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from lafi.board.checks import pictures_of
from lafi.board.storyboard import Storyboard
from lafi.front.control_model import command_in
from lafi.wire.contract import event_to_tensors, storyboard_from_tensors
from lafi.wire.control import Acknowledged, Command, Queue, QueueEntry, command_from_tensors
from lafi.wire.events import (
    Accepted,
    Event,
    Finished,
    Latents,
    PanelImage,
    Portrait,
    Preview,
    Progress,
)
from lafi.wire.model_spec import bytes_tensor
from lafi.wire.picture_names import UnknownPicturesError, picture_name

Script = Callable[[Storyboard, grpc.ServicerContext], Iterator[Event | str | None]]


def png(colour: tuple[int, int, int] = (200, 60, 40), side: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def panel_event(storyboard: Storyboard, number: int) -> PanelImage:
    panel = storyboard.panels[number]
    return PanelImage(
        panel=number,
        png=png((panel.seed * 40 % 256, 90, 120)),
        seed=panel.seed,
        prompt=panel.prompt_text(storyboard),
        address=f"{panel.seed:064x}",
        seconds=0.25,
    )


def well(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
    """Everything goes well; panels finish in reverse order."""
    drawn = [character for character in storyboard.characters if character.reference is None]
    yield Accepted(panels=len(storyboard.panels), portraits=len(drawn))
    for character in storyboard.characters:
        yield Portrait(character=character.name, png=png((10, 200, 30)))
    for number in reversed(range(len(storyboard.panels))):
        yield Progress(panel=number, character=None, step=1, steps=2)
        yield panel_event(storyboard, number)
    yield Finished(panels=len(storyboard.panels), seconds=1.5)


def in_stages(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
    """Goes well in the stages that the panels have, with a note and previews if asked for."""
    yield Accepted(panels=len(storyboard.panels), portraits=0, notes=("a <note>",))
    for number, panel in enumerate(storyboard.panels):
        stages = storyboard.effective_sampling(panel).stages
        for place, stage in enumerate(stages, 1):
            count = {"steps": stage.steps, "stage": place, "stages": len(stages)}
            yield Progress(panel=number, step=stage.steps, **count)
            if storyboard.stage_previews and place < len(stages):
                yield Preview(panel=number, stage=place, png=png((place, 0, 0)))
            if storyboard.keep_stages and place < len(stages):
                yield Latents(panel=number, stage=place, data=b"latents %d %d" % (number, place))
        yield panel_event(storyboard, number)
    yield Finished(panels=len(storyboard.panels), seconds=1.5)


class FakeTritonServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Plays one script per stream, the last of them again and again."""

    def __init__(self) -> None:
        self.scripts: list[Script] = [well]
        self.received: list[Storyboard] = []
        self.streams = 0
        self.ids = False
        """Whether storyboards get ids, as they do from a server that keeps a journal."""
        self.known: dict[str, Storyboard] = {}
        self.commands: list[Command] = []
        self.keeps_pictures = False
        """Whether pictures may be named once they were sent."""
        self.pictures: dict[bytes, bytes] = {}
        self.sent: list[list[bytes]] = []
        """REFERENCES of each storyboard."""
        self.queue: tuple[QueueEntry, ...] = ()
        self.live = True
        self.models = {"storyboard"}
        """What it says that it serves."""
        self.probes = 0
        self.cancelled = threading.Event()
        self.completed = threading.Event()
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen on a free port, or again on the one from before."""
        self._server = grpc.server(ThreadPoolExecutor(8))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.probes += 1
        return service_pb2.ServerLiveResponse(live=self.live)

    def ServerReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ServerReadyResponse(ready=self.live)

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ModelReadyResponse(ready=request.name in self.models)

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The model `storyboard_control`."""
        if not self.ids:
            context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model: is not found")
        command = command_in(request)
        self.commands.append(command)
        answer: Any = Queue(storyboards=self.queue)
        if command.action != "queue":
            if command.id not in self.known:
                context.abort(grpc.StatusCode.NOT_FOUND, f"id: no storyboard has {command.id}")
            answer = Acknowledged(id=command.id, left=0)
        response = service_pb2.ModelInferResponse(model_name="storyboard_control")
        response.outputs.add(name="ANSWER", datatype="BYTES", shape=[1])
        raw = serialize_byte_tensor(bytes_tensor(answer.model_dump_json().encode())).item()
        response.raw_output_contents.append(raw)
        return response

    def ModelStreamInfer(self, requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        script = self.scripts[min(self.streams, len(self.scripts) - 1)]
        self.streams += 1
        tensors = _tensors_in(next(requests))
        command = command_from_tensors(tensors["STORYBOARD"])
        if command is None:
            self.sent.append(tensors["REFERENCES"].tolist())
            try:
                storyboard = storyboard_from_tensors(
                    tensors["STORYBOARD"], tensors["REFERENCES"], self.pictures.get
                )
            except UnknownPicturesError as error:
                yield service_pb2.ModelStreamInferResponse(error_message=f"NOT_FOUND: {error}")
                return
            if self.keeps_pictures:
                self.pictures |= {picture_name(p.data): p.data for _, p in pictures_of(storyboard)}
            self.received.append(storyboard)
            identifier = f"{self.streams:032x}" if self.ids else ""
            self.known[identifier] = storyboard
        else:
            self.commands.append(command)
            identifier = command.id
            if identifier not in self.known:
                text = f"NOT_FOUND: id: no storyboard has {identifier}"
                yield service_pb2.ModelStreamInferResponse(error_message=text)
                return
            storyboard = self.known[identifier]
        completed = threading.Event()
        context.add_callback(lambda: completed.is_set() or self.cancelled.set())
        for item in script(storyboard, context):
            held = command.panels if command is not None else ()
            if isinstance(item, PanelImage) and item.panel in held:
                continue
            if isinstance(item, Accepted):
                update = {"id": identifier, "keeps_pictures": self.keeps_pictures}
                item = item.model_copy(update=update)
            if isinstance(item, str):
                yield service_pb2.ModelStreamInferResponse(error_message=item)
            else:
                yield _response(item)
        completed.set()
        self.completed.set()


def _tensors_in(request: Any) -> dict[str, Any]:
    assert request.model_name == "storyboard"
    tensors: dict[str, Any] = {}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        values = deserialize_bytes_tensor(raw)
        assert list(tensor.shape) == list(values.shape)
        assert tensor.datatype == "BYTES"
        tensors[tensor.name] = values
    return tensors


def _response(event: Event | dict[str, Any] | None) -> Any:
    """Of an event, of tensors as they are, or of nothing."""
    response = service_pb2.ModelInferResponse(model_name="storyboard")
    tensors = event if isinstance(event, dict) else event_to_tensors(event) if event else {}
    for name, values in tensors.items():
        response.outputs.add(name=name, datatype="BYTES", shape=values.shape)
        response.raw_output_contents.append(serialize_byte_tensor(values).item())
    return service_pb2.ModelStreamInferResponse(infer_response=response)
