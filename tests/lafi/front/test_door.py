"""A key can do exactly what its rights say, and nobody can say who he is but by his key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from front_requests import IDENTIFY, STORY, enrolment, outcome
from front_server import FrontServer, front_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from lafi.front.door import METRICS_PAGE, Door
from lafi.front.keys import Key, KeyFile, KeyRing, hash_of, write_keys
from lafi.front.request_check import RequestRefused
from lafi.front.run_folder import REQUEST_KEY
from lafi.front.service import CLOSED_METHODS
from lafi.wire.caller import CALLER, RIGHTS, Caller, Right
from lafi.wire.control import Command
from lafi_client.wire import control_request

OK, DENIED = grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED
STRANGER = grpc.StatusCode.UNAUTHENTICATED
SUBSETS = st.sets(st.sampled_from(RIGHTS)).map(sorted).map(tuple)


def in_contents(action: bytes) -> Any:
    """The same, with elements in the other place that KServe has for them."""
    request = enrolment(action)
    del request.raw_input_contents[:]
    for tensor, value in zip(request.inputs, (action, b"mia", b"picture"), strict=True):
        tensor.contents.bytes_contents.append(value)
    return request


ID = "0" * 32
COMMANDS = [Command(action="queue")] + [
    Command(action=action, id=ID) for action in ("cancel", "acknowledge")
]
CALLS: list[tuple[str, Any, Right | None]] = [
    ("ModelStreamInfer", STORY, "draw"),
    *(("ModelInfer", control_request(command), "draw") for command in COMMANDS),
    ("ModelInfer", IDENTIFY, "draw"),
    ("ModelStreamInfer", IDENTIFY, "draw"),
    *(("ModelInfer", enrolment(action), "enrol") for action in (b"enrol", b"forget ", b"")),
    ("ModelInfer", in_contents(b"enrol"), "enrol"),
    ("ModelStreamInfer", enrolment(b"enrol"), "enrol"),
    ("ModelInfer", enrolment(b"forget"), "forget"),
    ("ModelInfer", in_contents(b"forget"), "forget"),
    ("ModelStreamInfer", enrolment(b"forget"), "forget"),
    ("ModelStatistics", service_pb2.ModelStatisticsRequest(name="storyboard"), "metrics"),
    ("ServerMetadata", service_pb2.ServerMetadataRequest(), None),
    ("ModelMetadata", service_pb2.ModelMetadataRequest(name="storyboard"), None),
    ("ModelConfig", service_pb2.ModelConfigRequest(name="storyboard_control"), None),
    ("RepositoryIndex", service_pb2.RepositoryIndexRequest(), None),
]
PROBES = [
    ("ServerLive", service_pb2.ServerLiveRequest()),
    ("ServerReady", service_pb2.ServerReadyRequest()),
    ("ModelReady", service_pb2.ModelReadyRequest(name="storyboard")),
]
CLOSED = [
    *("RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryStatus"),
    *("SystemSharedMemoryRegister", "SystemSharedMemoryUnregister", "CudaSharedMemoryStatus"),
    *("CudaSharedMemoryRegister", "CudaSharedMemoryUnregister", "TraceSetting", "LogSettings"),
]


def name_of(rights: tuple[Right, ...]) -> str:
    return "-".join(("key", *rights))


def key_of(rights: tuple[Right, ...]) -> str:
    return f"secret of {name_of(rights)}".replace(" ", "_")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontServer]:
    """One key for each set of rights."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    subsets = [
        tuple(right for bit, right in enumerate(sorted(RIGHTS)) if number >> bit & 1)
        for number in range(2 ** len(RIGHTS))
    ]
    entries = [
        Key(name=name_of(rights), sha256=hash_of(key_of(rights)), rights=rights)
        for rights in subsets
    ]
    write_keys(file, KeyFile(keys=tuple(entries)))
    import tempfile

    with (
        tempfile.TemporaryDirectory(prefix="lafi") as folder,
        front_server(Path(folder), keys=str(file)) as running,
    ):
        yield running


def bearer(key: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}")]


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rights=SUBSETS, call=st.sampled_from(CALLS))
def test_a_key_can_do_exactly_what_its_rights_say(
    front: FrontServer, rights: tuple[Right, ...], call: tuple[str, Any, Right | None]
) -> None:
    method, request, needed = call
    front.triton.received.clear()
    status, text = outcome(front, method, request, bearer(key_of(rights)))
    if needed is None or needed in rights:
        assert status is OK
        return
    assert status is DENIED
    assert f'lacks the right "{needed}"' in text
    assert name_of(rights) in text
    assert front.triton.received == [], "nothing of it reached the server behind"


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        bearer("nobody's"),
        bearer(""),
        bearer(hash_of(key_of(RIGHTS))),
        [("authorization", key_of(tuple(sorted(RIGHTS))))],
        [("authorization", f"Basic {key_of(tuple(sorted(RIGHTS)))}")],
        [("x-api-key", key_of(tuple(sorted(RIGHTS))))],
        bearer(key_of(("draw",))) * 2,
    ],
)
def test_without_a_key_only_probes_are_answered(
    front: FrontServer, metadata: list[tuple[str, str]]
) -> None:
    front.triton.received.clear()
    for method, request, _ in CALLS:
        status, text = outcome(front, method, request, metadata)
        assert (method, status) == (method, STRANGER)
        assert "authorization: Bearer KEY" in text
        assert key_of(("draw",)) not in text
    assert front.triton.received == []
    for method, request in PROBES:
        assert outcome(front, method, request, metadata) == (OK, "")


def test_no_right_opens_what_writes_files_or_maps_memory(front: FrontServer) -> None:
    assert sorted(CLOSED) == sorted(CLOSED_METHODS)
    for method in CLOSED:
        path = f"/inference.GRPCInferenceService/{method}"
        with grpc.insecure_channel(front.url) as channel:
            call = channel.unary_unary(path)
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", metadata=bearer(key_of(tuple(sorted(RIGHTS)))), timeout=20)
        assert refused.value.code() is DENIED


FORGED = st.dictionaries(
    st.sampled_from([CALLER, REQUEST_KEY, CALLER.upper(), "priority", "lafi_right"]),
    st.sampled_from(
        [Caller(name="root", rights=RIGHTS).model_dump_json(), "root", json.dumps([*RIGHTS]), ""]
    ),
)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(forged=FORGED, on_input=st.booleans(), control=st.booleans())
def test_forged_parameters_never_pass(
    front: FrontServer, forged: dict[str, str], on_input: bool, control: bool
) -> None:
    made = control_request(COMMANDS[0]) if control else STORY
    request = service_pb2.ModelInferRequest.FromString(made.SerializeToString())
    for name, value in forged.items():
        place = request.inputs[0].parameters if on_input else request.parameters
        place[name].string_param = value
    method = "ModelInfer" if control else "ModelStreamInfer"
    headers = [(CALLER.replace("_", "-"), "root"), *bearer(key_of(("draw",)))]
    front.triton.received.clear()
    assert outcome(front, method, request, headers)[0] is OK
    (passed,) = front.triton.received
    assert {*passed.parameters} == {CALLER, REQUEST_KEY}
    told = Caller.model_validate_json(passed.parameters[CALLER].string_param)
    assert told == Caller(name="key-draw", rights=("draw",))
    assert len(passed.parameters[REQUEST_KEY].string_param) == 32
    assert not any(tensor.parameters for tensor in passed.inputs)


def test_a_key_that_is_taken_back_ends_an_open_stream_for_new_requests(
    tmp_path: Path, short_folder: Path
) -> None:
    file = tmp_path / "keys.json"
    write_keys(file, KeyFile(keys=(Key(name="mia", sha256=hash_of("key"), rights=("draw",)),)))
    with front_server(short_folder, keys=str(file)) as front:
        import queue
        import time

        requests: queue.Queue[Any] = queue.Queue()
        answers = front.stub().ModelStreamInfer(
            iter(requests.get, None), metadata=bearer("key"), timeout=30
        )
        requests.put(STORY)
        assert next(answers).error_message == ""
        write_keys(file, KeyFile())
        time.sleep(1.1)
        requests.put(STORY)
        assert next(answers).error_message.startswith("UNAUTHENTICATED: ")
        requests.put(None)
        assert [*answers] == []


def test_metrics_need_their_right(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    entries = [Key(name=right, sha256=hash_of(right), rights=(right,)) for right in RIGHTS]
    write_keys(file, KeyFile(keys=tuple(entries)))
    door = Door(KeyRing(file))
    for right in RIGHTS:
        headers = [("Authorization", f"bearer {right}")]
        if right == "metrics":
            caller = door.admit(METRICS_PAGE, headers)
            assert caller is not None
            assert caller.name == "metrics"
            continue
        with pytest.raises(RequestRefused, match='lacks the right "metrics"'):
            door.admit(METRICS_PAGE, headers)
    assert Door().admit(METRICS_PAGE, []) is None
