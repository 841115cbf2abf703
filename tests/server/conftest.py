"""One real Triton Server for all tests of this folder, and a client with nothing of ours in it."""

import queue
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as grpcclient

from lafi.board.storyboard import Storyboard
from lafi.server.exposure import OPEN_PARTS
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import event_from_tensors, storyboard_to_tensors
from lafi.wire.events import Event
from lafi_export.safety_classifier import export_classifier
from lafi_export.upscaler.repository import serve_upscaler

MAX_STORYBOARDS = 2
DTYPES = {"O": "BYTES", "S": "BYTES", "f": "FP32", "i": "INT64", "u": "UINT8"}
UPSCALER = Path(__file__).parents[2] / "tiny_model/upscaler"
STATUSES = {"INVALID_ARGUMENT", "UNAVAILABLE", "INTERNAL"}
Tensors = Mapping[str, npt.NDArray[Any]]


class StoryStream:
    """One stream to the model `storyboard`: sends raw tensors, reads events or an error text."""

    def __init__(self, url: str) -> None:
        self._client = grpcclient.InferenceServerClient(url)
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._client.start_stream(lambda result, error: self._answers.put((result, error)))

    def send(self, tensors: Tensors) -> None:
        """Sends one request."""
        inputs = []
        for name, array in tensors.items():
            given = grpcclient.InferInput(name, list(array.shape), DTYPES[array.dtype.kind])
            given.set_data_from_numpy(array)
            inputs.append(given)
        self._client.async_stream_infer("storyboard", inputs, enable_empty_final_response=True)

    def answers(self, seconds: float = 60) -> Iterator[Event | str]:
        """Events in order, or the text of an error, until the final flag."""
        while True:
            result, error = self._answers.get(timeout=seconds)
            if error is not None:
                yield error.message()
                # What the server itself refuses gets no final flag; what our model refuses does.
                if error.message().split(":")[0] in STATUSES:
                    continue
                return
            response = result.get_response()
            if response.parameters["triton_final_response"].bool_param:
                assert not response.outputs, "the final flag comes alone"
                return
            event = event_from_tensors(result.as_numpy("EVENT"), result.as_numpy("IMAGE"))
            assert event is not None, "a kind that this version does not know"
            yield event

    def cancel(self) -> None:
        """Leaves at once, as a client does that is killed."""
        self._client.stop_stream(cancel_requests=True)

    def close(self) -> None:
        """Leaves when all was read."""
        self._client.stop_stream()
        self._client.close()


class Caller:
    """Sends storyboards and raw requests to the server under test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def stream(self) -> StoryStream:
        """A stream of its own."""
        return StoryStream(self.url)

    def raw(self, tensors: Tensors) -> list[Event | str]:
        """All answers to one raw request."""
        stream = self.stream()
        try:
            stream.send(tensors)
            return list(stream.answers())
        finally:
            stream.close()

    def draw(self, storyboard: Storyboard) -> list[Event | str]:
        """All answers to one storyboard."""
        return self.raw(storyboard_to_tensors(storyboard))

    def infer(self, model: str, tensors: Tensors) -> Mapping[str, npt.NDArray[Any]]:
        """One plain call of a served model: its outputs by name."""
        with grpcclient.InferenceServerClient(self.url) as client:
            inputs = []
            for name, array in tensors.items():
                dtype = "INT32" if array.dtype == np.int32 else DTYPES[array.dtype.kind]
                given = grpcclient.InferInput(name, list(array.shape), dtype)
                given.set_data_from_numpy(array)
                inputs.append(given)
            result = client.infer(model, inputs)
        return {
            output.name: result.as_numpy(output.name) for output in result.get_response().outputs
        }


@pytest.fixture(scope="session")
def served_repository(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported repository with the bundled upscaler and a picture classifier, a low limit of
    storyboards, so that tests can reach it, and a score and a flag in each panel's answer."""
    folder = tmp_path_factory.mktemp("served") / "repository"
    shutil.copytree(repository, folder)
    shutil.copytree(UPSCALER, folder / "artifacts" / "upscaler")
    serve_upscaler(folder)
    export_classifier(None, folder)
    with (folder / "models" / "storyboard" / "config.pbtxt").open("a") as config:
        value = f'{{ string_value: "{MAX_STORYBOARDS}" }}'
        config.write(f'parameters {{ key: "max_storyboards", value: {value} }}\n')
        config.write('parameters { key: "safety", value: { string_value: "flag" } }\n')
    return folder


@pytest.fixture(scope="session")
def server(served_repository: Path) -> Iterator[Supervisor]:
    """A server on free ports; one thread per engine, as the engines it is compared with."""
    with Supervisor(served_repository, threads=1, exposure=OPEN_PARTS) as running:
        yield running


@pytest.fixture
def caller(server: Supervisor) -> Caller:
    """A client of the server."""
    return Caller(server.grpc_url)


@pytest.fixture(scope="session")
def story_stream() -> type[StoryStream]:
    """For tests with a server of their own."""
    return StoryStream
