"""Of an error inside the server clients learn a number, and the log has the rest under it."""

import logging
import re
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from front_requests import IDENTIFY, STORY, enrolment, outcome
from front_server import DECODER, front_server
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from lafi.front import failures
from lafi.front.failures import split_status, told, told_in_stream
from lafi.wire.control import Command
from lafi_client.wire import control_request

FRONT = Path(failures.__file__).parent
NUMBER = re.compile("request ([0-9a-f]{12})")
INSIDE = (
    "Failed to process the request(s) for model instance 'identity_0_0', message: KeyError: 'mia'"
    "\n\nAt:\n  /srv/models/identity/1/model.py(35): execute\n"
)
STATUSES = st.sampled_from(["", *grpc.StatusCode.__members__])


@given(status=STATUSES, text=st.text(max_size=40))
def test_an_unknown_error_tells_a_number_alone(status: str, text: str) -> None:
    secret = f"{text} /srv/secret/place.py {text}"
    named, shown = told(status, secret)
    assert named in grpc.StatusCode.__members__
    assert "/srv/secret" not in shown
    if named == "INTERNAL":
        assert re.fullmatch(r"an error inside the server \(request [0-9a-f]{12}\); .*", shown)


def test_our_models_texts_pass_as_they_are() -> None:
    for status, text in (
        ("INVALID_ARGUMENT", "width: got 72"),
        ("NOT_FOUND", "id: nobody has it"),
        ("UNAVAILABLE", "the server is shutting down; try again later"),
        ("INTERNAL", "an error inside the server (request 0123456789ab); its log says more"),
    ):
        assert told(status, text) == (status, text)
        assert split_status(f"{status}: {text}") == (status, text)


def test_every_status_that_a_front_answers_with_passes_another_front() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in FRONT.glob("*.py"))
    named = {*re.findall(r"grpc\.StatusCode\.([A-Z][A-Z_]+)", source)} - {"INTERNAL"}
    assert {"UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"} <= named
    for status in named:
        assert told(status, "the key is another") == (status, "the key is another")


def test_a_lost_part_is_no_fault_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    status, text = told("INTERNAL", "Stub process 'storyboard_0_0' is not healthy.")
    assert status == "UNAVAILABLE"
    assert text.endswith("try again later")
    assert "storyboard_0_0" not in text
    assert "storyboard_0_0" in caplog.text


def test_answers_that_are_no_errors_are_not_touched() -> None:
    answer = service_pb2.ModelStreamInferResponse(
        infer_response=service_pb2.ModelInferResponse(model_name="storyboard", id="a")
    ).SerializeToString()
    assert told_in_stream(answer) is answer
    assert told_in_stream(b"") == b""


def decode() -> Any:
    request = service_pb2.ModelInferRequest(model_name=DECODER.name)
    request.inputs.add(name="LATENT", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(np.zeros((1, 2), np.float32).tobytes())
    return request


CALLS = {
    "storyboard": ("ModelStreamInfer", STORY),
    "storyboard_control": ("ModelInfer", control_request(Command(action="queue"))),
    "identity": ("ModelInfer", IDENTIFY),
    "identity in a stream": ("ModelStreamInfer", IDENTIFY),
    "identity_enrolment": ("ModelInfer", enrolment(b"enrol")),
    "vae_decoder": ("ModelInfer", decode()),
}


@pytest.mark.parametrize("model", CALLS)
@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN"])
def test_no_model_tells_of_its_insides(
    short_folder: Path, caplog: pytest.LogCaptureFixture, model: str, code: str
) -> None:
    method, request = CALLS[model]

    def failing(request: Any, context: Any) -> list[Any]:
        return [service_pb2.ModelStreamInferResponse(error_message=INSIDE)]

    with front_server(short_folder, open_parts=True) as front:
        front.triton.failure = (grpc.StatusCode[code], INSIDE)
        front.triton.stream = failing
        with caplog.at_level(logging.ERROR):
            status, text = outcome(front, method, request)
    assert status is grpc.StatusCode.INTERNAL
    (number,) = NUMBER.findall(text)
    assert text == f"an error inside the server (request {number}); its log says more"
    assert f"request {number} failed: {INSIDE}" in caplog.text


def test_a_fault_of_the_front_itself_is_told_the_same_way(
    short_folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("/srv/front/secret")

    with front_server(short_folder) as front, caplog.at_level(logging.ERROR):
        monkeypatch.setattr("lafi.front.service.parse", broken)
        monkeypatch.setattr("lafi.front.client_stream.parse", broken)
        asked = [("ModelMetadata", service_pb2.ModelMetadataRequest(name="x"))]
        for method, request in (*asked, ("ModelInfer", IDENTIFY), ("ModelStreamInfer", STORY)):
            status, text = outcome(front, method, request)
            assert status is grpc.StatusCode.INTERNAL
            (number,) = NUMBER.findall(text)
            assert "secret" not in text
            assert f"request {number} failed in the front" in caplog.text
