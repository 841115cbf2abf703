"""Requests that kill a bare Triton Server 2.51, or that no client should send: the server draws on.

They go to the real server, as a client with nothing of ours in it would send them.
"""

import json
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lafi.server.supervisor import Supervisor

STORY = {"width": 32, "height": 32, "sampling": {"steps": 3}, "panels": [{"prompt": "a child"}]}
Answers = list[tuple[str, str]]


def request(story: object = STORY, references: tuple[bytes, ...] = (b"",)) -> Any:
    """A storyboard, complete but for what a test changes."""
    made = service_pb2.ModelInferRequest(model_name="storyboard")
    for name, elements in (
        ("STORYBOARD", [json.dumps(story).encode()]),
        ("REFERENCES", references),
    ):
        made.inputs.add(name=name, datatype="BYTES", shape=[len(elements)])
        raw = b"".join(struct.pack("<I", len(element)) + element for element in elements)
        made.raw_input_contents.append(raw)
    return made


@pytest.fixture
def stub(server: Supervisor) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc_url) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def ask(stub: Any, *requests: Any, metadata: Any = None, leave_after: int = 0) -> Answers:
    """(kind of event or ERR or status, text) of each answer. leave_after: cancel after so many."""
    answers: Answers = []
    call = stub.ModelStreamInfer(iter(requests), timeout=60, metadata=metadata)
    try:
        for answer in call:
            if answer.error_message:
                answers.append(("ERR", answer.error_message))
            elif answer.infer_response.raw_output_contents:
                event = json.loads(answer.infer_response.raw_output_contents[0][4:])
                answers.append((event["kind"], ""))
            if leave_after and len(answers) >= leave_after:
                call.cancel()
    except grpc.RpcError as error:
        answers.append((error.code().name, error.details()))
    return answers


def check_that_it_draws(stub: Any, server: Supervisor) -> None:
    """The server draws, and no part of it was started again."""
    deadline = time.monotonic() + 20
    while (answers := ask(stub, request()))[0][1].startswith("UNAVAILABLE: this server draws"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [kind for kind, _ in answers] == ["accepted", *["progress"] * 3, "panel", "finished"]
    assert server.health().restarts == {"front": 0, "server": 0}


def classified(made: Any) -> Any:
    made.outputs.add(name="EVENT").parameters["classification"].int64_param = 1
    return made


def of_wrong_shape(made: Any) -> Any:
    made.inputs[0].shape[:] = [1, 1]
    return made


def of_huge_shape(made: Any) -> Any:
    made.inputs[1].shape[:] = [2**40]
    return made


def with_sequence(made: Any) -> Any:
    made.parameters["sequence_id"].int64_param = 2**63 - 1
    made.parameters["sequence_start"].bool_param = True
    made.parameters["priority"].int64_param = -1
    return made


def with_shared_memory(made: Any) -> Any:
    made.inputs[0].parameters["shared_memory_region"].string_param = "x"
    made.inputs[0].parameters["shared_memory_byte_size"].int64_param = 2**40
    return made


def with_nul(made: Any) -> Any:
    made.model_name = "storyboard\0x"
    return made


@pytest.mark.parametrize(
    ("change", "header", "last"),
    [
        (classified, False, "finished"),
        (with_sequence, False, "finished"),
        (of_wrong_shape, False, "ERR"),
        (of_huge_shape, False, "ERR"),
        (with_shared_memory, False, "ERR"),
        (with_nul, False, "ERR"),
        (lambda made: made, True, "finished"),
        (of_wrong_shape, True, "ERR"),
        (lambda made: request({"panels": []}), True, "ERR"),
    ],
)
def test_what_kills_a_bare_server_does_not_kill_ours(
    stub: Any, server: Supervisor, change: Callable[[Any], Any], header: bool, last: str
) -> None:
    metadata = [("triton_grpc_error", "true")] if header else None
    assert ask(stub, change(request()), metadata=metadata)[-1][0] == last
    check_that_it_draws(stub, server)


def test_what_was_left_out_of_a_request_is_named(stub: Any) -> None:
    call = stub.ModelStreamInfer(iter([with_sequence(classified(request()))]), timeout=60)
    assert list(call)
    (ignored,) = [value for key, value in call.trailing_metadata() if key == "lafi-ignored"]
    assert sorted(ignored.split(", ")) == [
        "classification",
        "priority",
        "sequence_id",
        "sequence_start",
    ]


def test_300_refusals_that_are_not_read_to_their_end(stub: Any, server: Supervisor) -> None:
    for number in range(300):
        bad = request({"panels": []}) if number % 2 else of_wrong_shape(request())
        assert ask(stub, bad, leave_after=1)[0][0] == "ERR"
    check_that_it_draws(stub, server)


def test_clients_that_leave_while_it_draws_or_as_it_ends(stub: Any, server: Supervisor) -> None:
    for number in range(40):
        found = ask(stub, request(), leave_after=1 + number % 6)
        assert found
        time.sleep(0.02 * (number % 3))
    check_that_it_draws(stub, server)


def test_a_refused_request_leaves_the_others_of_its_stream_alone(stub: Any) -> None:
    named = request()
    named.id = "good"
    answers = ask(stub, of_wrong_shape(request()), named, with_nul(request()))
    kinds = [kind for kind, _ in answers]
    assert kinds.count("ERR") == 2
    assert [kind for kind in kinds if kind != "ERR"][-1] == "finished"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest),
        ("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest),
        ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterRequest),
        ("TraceSetting", service_pb2.TraceSettingRequest),
        ("LogSettings", service_pb2.LogSettingsRequest),
    ],
)
def test_what_could_write_files_or_map_memory_is_closed(
    stub: Any, method: str, message: type
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        getattr(stub, method)(message(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "closed to clients" in refused.value.details()


def test_what_a_client_asks_about_the_server_is_answered(stub: Any, server: Supervisor) -> None:
    assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
    assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
    assert stub.ModelReady(service_pb2.ModelReadyRequest(name="storyboard")).ready
    assert stub.ServerMetadata(service_pb2.ServerMetadataRequest()).name == "triton"
    about = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="storyboard"))
    assert [tensor.name for tensor in about.inputs] == ["STORYBOARD", "REFERENCES"]
    config = stub.ModelConfig(service_pb2.ModelConfigRequest(name="storyboard")).config
    assert config.model_transaction_policy.decoupled
    counted = stub.ModelStatistics(service_pb2.ModelStatisticsRequest())
    names = sorted(model.name for model in counted.model_stats)
    index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest())
    assert names == sorted(server.models)
    # The front's own model is none of Triton Server's.
    listed = sorted(model.name for model in index.models)
    assert listed == sorted([*names, "storyboard_control"])
    with pytest.raises(grpc.RpcError, match="use ModelStreamInfer"):
        stub.ModelInfer(request(), timeout=10)
    with pytest.raises(grpc.RpcError, match="is not found"):
        stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="storyboard\0"), timeout=10)


def test_bytes_that_are_no_message_are_refused(server: Supervisor, stub: Any) -> None:
    with grpc.insecure_channel(server.grpc_url) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as refused:
            infer(b"\xff" * 100, timeout=10)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as refused:
            infer(bytes(200 * 2**20), timeout=60)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in refused.value.details()
    check_that_it_draws(stub, server)
