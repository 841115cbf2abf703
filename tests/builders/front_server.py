"""A real front before a server that keeps what it is sent, and answers as a test says."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

from lafi.front.control import FrontSettings
from lafi.front.gate import Gate
from lafi.front.process import new_server
from lafi.front.run_folder import RunFolder
from lafi.front.upstream import Upstream
from lafi.wire.contract import event_to_tensors
from lafi.wire.control import Queue
from lafi.wire.model_spec import (
    ModelSpec,
    TensorSpec,
    config_pbtxt,
    enrolment_spec,
    storyboard_spec,
)

IDENTITY = ModelSpec(
    "identity", (TensorSpec("IMAGE", "BYTES", (1,)),), (TensorSpec("SCORE", "FP32", (1,)),), 16
)
DECODER = ModelSpec(
    "vae_decoder", (TensorSpec("LATENT", "FP32", (2,)),), (TensorSpec("IMAGE", "FP32", (2,)),), 4
)
SPECS = {each.name: each for each in (storyboard_spec(), enrolment_spec(), IDENTITY, DECODER)}
Stream = Callable[[Any, grpc.ServicerContext], Iterable[Any]]


def streamed(event: Any) -> Any:
    """An event, or the answer to a command, as a message of a stream."""
    response = service_pb2.ModelInferResponse(model_name="storyboard")
    for name, values in event_to_tensors(event).items():
        response.outputs.add(name=name, datatype="BYTES", shape=values.shape)
        response.raw_output_contents.append(serialize_byte_tensor(values).item())
    return service_pb2.ModelStreamInferResponse(infer_response=response)


@dataclass
class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Keeps requests to models; answers with empty tensors, or as `stream` and `failure` say."""

    received: list[Any] = field(default_factory=list)
    stream: Stream = lambda request, context: [streamed(Queue())]
    failure: tuple[grpc.StatusCode, str] | None = None

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        config = text_format.Parse(
            config_pbtxt(SPECS[request.name]), model_config_pb2.ModelConfig()
        )
        return service_pb2.ModelConfigResponse(config=config)

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ModelMetadataResponse(name=request.name)

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ServerMetadataResponse(name="fake")

    def ModelStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ModelStatisticsResponse()

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.received.append(request)
        if self.failure is not None:
            context.abort(*self.failure)
        return service_pb2.ModelInferResponse(model_name=request.model_name)

    def ModelStreamInfer(self, requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            self.received.append(request)
            yield from self.stream(request, context)


@dataclass
class FrontServer:
    """A front that listens on loopback."""

    triton: FakeTriton
    port: int
    gate: Gate
    loop: asyncio.AbstractEventLoop
    folder: RunFolder
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"{self.host}:{self.port}"

    def stub(self) -> Any:
        """Of a raw client without a key."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        return service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(self.url, options))


@contextmanager
def front_server(folder: Path, **settings: Any) -> Iterator[FrontServer]:
    """folder: a short path, for a Unix socket. settings: of `FrontSettings`."""
    run = RunFolder(folder / "run")
    run.cancelled("").mkdir(parents=True)
    run.taken("").mkdir()
    triton = FakeTriton()
    behind = grpc.server(ThreadPoolExecutor(40), options=[("grpc.max_send_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, behind)
    behind.add_insecure_port(run.target)
    behind.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    chosen = FrontSettings.model_validate(
        {
            "address": "127.0.0.1:0",
            "artifacts": "",
            "request_bytes": 2**24,
            "canary_seconds": 0,
            **settings,
        }
    )
    front, gate, port = asyncio.run_coroutine_threadsafe(_started(chosen, run), loop).result(30)
    try:
        yield FrontServer(triton, port, gate, loop, run, chosen.address.rpartition(":")[0])
    finally:
        asyncio.run_coroutine_threadsafe(_stopped(front, gate), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        behind.stop(None).wait()


async def _started(settings: FrontSettings, run: RunFolder) -> tuple[Any, Gate, int]:
    gate = Gate()
    front, port = new_server(settings, gate)
    upstream = Upstream(run, tuple(SPECS))
    await upstream.wait_until_ready()
    gate.open(upstream)
    await front.start()
    return front, gate, port


async def _stopped(front: Any, gate: Gate) -> None:
    gate.close("the test is over", 1.0)
    await front.stop(0.5)
    await asyncio.sleep(0.05)
