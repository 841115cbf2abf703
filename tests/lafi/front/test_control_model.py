"""The front's own model: plain calls become commands, and answers or errors come back."""

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from lafi.board.error import StoryboardError
from lafi.front.canary import acknowledgement, id_in
from lafi.front.control_model import about_control, command_in, response_of
from lafi.front.request_check import RequestRefused, clean
from lafi.wire.contract import event_to_tensors
from lafi.wire.control import (
    CONTROL,
    Cancelled,
    Command,
    command_from_tensors,
    command_to_tensors,
    control_spec,
)
from lafi.wire.events import Accepted, EventModel
from lafi_client.wire import control_request

ID = "0123456789abcdef" * 2
COMMANDS = st.builds(
    Command,
    action=st.sampled_from(["attach", "cancel", "acknowledge"]),
    id=st.just(ID),
    panels=st.lists(st.integers(0, 63), max_size=5).map(tuple),
) | st.just(Command(action="queue"))


def streamed(event: EventModel) -> bytes:
    response = service_pb2.ModelInferResponse(model_name="storyboard")
    for name, values in event_to_tensors(event).items():
        response.outputs.add(name=name, datatype="BYTES", shape=values.shape)
        response.raw_output_contents.append(serialize_byte_tensor(values).item())
    return bytes(service_pb2.ModelStreamInferResponse(infer_response=response).SerializeToString())


@given(COMMANDS)
def test_a_command_is_the_same_on_both_ways(command: Command) -> None:
    request = clean(control_request(command), {CONTROL: control_spec()}, 10**6).request
    assert command_in(request) == command
    assert command_from_tensors(command_to_tensors(command)["STORYBOARD"]) == command


def test_contents_that_are_not_raw_are_read_too() -> None:
    request = service_pb2.ModelInferRequest(model_name=CONTROL)
    for name, text in (("ACTION", b"acknowledge"), ("ID", ID.encode())):
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(text)
    panels = request.inputs.add(name="PANELS", datatype="INT64", shape=[2])
    panels.contents.int64_contents.extend([3, 1])
    assert command_in(request) == Command(action="acknowledge", id=ID, panels=(3, 1))


@pytest.mark.parametrize("panels", [[-1], [*range(65)]])
def test_numbers_of_no_panel_are_refused(panels: list[int]) -> None:
    request = control_request(Command(action="acknowledge", id=ID, panels=(0,)))
    request.inputs[2].shape[0] = len(panels)
    request.raw_input_contents[2] = np.array(panels, dtype=np.int64).tobytes()
    with pytest.raises(StoryboardError, match="panels"):
        command_in(request)


def test_the_answer_is_passed_on_as_it_is() -> None:
    raw = response_of([b"", streamed(Cancelled(id=ID))], "mine")
    response = service_pb2.ModelInferResponse.FromString(raw)
    assert (response.model_name, response.id) == (CONTROL, "mine")
    assert [output.name for output in response.outputs] == ["ANSWER"]
    (text,) = deserialize_bytes_tensor(response.raw_output_contents[0])
    assert Cancelled.model_validate_json(text).id == ID


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        ("NOT_FOUND: id: nobody", grpc.StatusCode.NOT_FOUND, "id: nobody"),
        ("INVALID_ARGUMENT: id: bad", grpc.StatusCode.INVALID_ARGUMENT, "id: bad"),
        (
            "KeyError at /srv/model.py",
            grpc.StatusCode.INTERNAL,
            r"an error inside the server \(request [0-9a-f]{12}\); its log says more",
        ),
    ],
)
def test_an_error_becomes_the_status_that_it_names(
    said: str, code: grpc.StatusCode, text: str
) -> None:
    answer = service_pb2.ModelStreamInferResponse(error_message=said).SerializeToString()
    with pytest.raises(RequestRefused, match=f"^{text}$") as refused:
        response_of([answer], "")
    assert refused.value.code is code


def test_no_answer_is_an_error() -> None:
    with pytest.raises(RequestRefused, match="gave no answer"):
        response_of([], "")


def test_it_says_what_it_takes_and_gives() -> None:
    told = service_pb2.ModelMetadataResponse.FromString(about_control("ModelMetadata"))
    assert [tensor.name for tensor in told.inputs] == ["ACTION", "ID", "PANELS"]
    config = service_pb2.ModelConfigResponse.FromString(about_control("ModelConfig")).config
    assert [tensor.name for tensor in config.output] == ["ANSWER"]
    assert [tensor.optional for tensor in config.input] == [False, True, True]
    with pytest.raises(RequestRefused, match="no statistics"):
        about_control("ModelStatistics")


def test_the_canary_lets_its_panel_go() -> None:
    assert id_in([b"", streamed(Accepted(panels=1, portraits=0, id=ID))]) == ID
    assert id_in([]) == ""
    request = service_pb2.ModelInferRequest.FromString(acknowledgement(ID))
    place = [tensor.name for tensor in request.inputs].index("STORYBOARD")
    values = deserialize_bytes_tensor(request.raw_input_contents[place])
    assert command_from_tensors(values) == Command(action="acknowledge", id=ID, panels=(0,))
