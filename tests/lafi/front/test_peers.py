"""Calls about a storyboard reach the pod that has it, whichever gets them, and no other place."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from desk_server import board
from front_requests import of
from hypothesis import given
from hypothesis import strategies as st
from pods import PATIENT, free_port, left_of, pod_server, two
from quick_clients import QUICK, client_of
from waiting import soon

from lafi.front.control import PeerSettings, TlsFiles
from lafi.front.keys import Key, KeyFile, hash_of, new_key, write_keys
from lafi.front.peers import Peers, check_template, identifier_in
from lafi.wire.control import Command
from lafi.wire.events import Accepted, Finished, PanelImage
from lafi.wire.pods import MAX_PODS, Pod
from lafi_client import StoryboardUnknown
from lafi_client.aio import AsyncStoryboardClient
from lafi_client.client import StoryboardClient
from lafi_client.errors import NotAllowed, OwnerUnavailable
from lafi_client.wire import control_request, pursued_request, queue_in

LABEL = "abcdefghijklmnopqrstuvwxyz0123456789-."


# Laws: where a front dials is the template and a number.


@given(
    before=st.text(LABEL, max_size=20),
    after=st.text(LABEL, max_size=20),
    port=st.integers(1, 65535),
    place=st.sampled_from(["{pod}", "{ordinal}"]),
    text=st.text() | st.from_regex("[0-9a-f]{32}", fullmatch=True),
)
def test_nothing_but_a_number_of_an_id_gets_into_an_address(
    before: str, after: str, port: int, place: str, text: str
) -> None:
    template = f"{before}{place}{after}:{port}"
    peers = Peers(PeerSettings(pod="lafi-main-1", template=template))
    own = Pod("lafi-main", 1)
    names = [text, own.new_identifier(), Pod("lafi-main", 4000).new_identifier()]
    for identifier in names:
        owner = own.owner(identifier)
        if owner is not None:
            allowed = {f"dns:///{before}{n}{after}:{port}" for n in _names(place)}
            assert peers.target(owner) in allowed


def _names(place: str) -> list[str]:
    stem = "lafi-main-" if place == "{pod}" else ""
    return [f"{stem}{number}" for number in range(MAX_PODS)]


@pytest.mark.parametrize(
    "template",
    [
        *("", "{pod}", "pod:8001", "{pod}:0", "{pod}:99999", "{pod}.{pod}:1", "{pod}-{ordinal}:1"),
        *("{pod}/x:1", "unix:{pod}:1", "{name}:1", "{{pod}}:1", "{pod}:{ordinal}", "a@{pod}:1"),
        *("{pod}:1\n", "{pod", "[{pod}]:1", "{pod}.a:1,b:1"),
    ],
)
def test_a_template_that_is_none_is_refused(template: str) -> None:
    with pytest.raises(
        ValueError, match=r"got .*, allowed: host:port with {pod} or {ordinal} once"
    ):
        check_template(template)


@pytest.mark.parametrize(
    "identifier",
    [
        *("../x", "evil.example.org", "evil.example.org:443", "lafi-main-3", "3", "{pod}"),
        *("lafi-main-3.example.org:1/0123456789abcdef0123456789abcdef", "unix:/tmp/x", "\x00" * 32),
        "f" * 32,
    ],
)
def test_a_hostile_id_makes_the_front_dial_nobody(
    short_folder: Path, identifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[str] = []
    monkeypatch.setattr(Peers, "_dial", lambda self, owned: dialled.append(str(owned)))
    with pod_server(short_folder, 2, free_port()) as pod:
        raw = identifier.encode()
        plain = of("storyboard_control", ("ACTION", b"cancel"), ("ID", raw))
        with pytest.raises(grpc.RpcError) as refused:
            pod.front.stub().ModelInfer(plain, timeout=10)
        expected = grpc.StatusCode.INVALID_ARGUMENT
        if identifier == "f" * 32:
            expected = grpc.StatusCode.NOT_FOUND
        assert refused.value.code() is expected
        text = b'{"action": "attach", "id": "%s"}' % raw.replace(b"\x00", b"\\u0000")
        streamed = of("storyboard", ("STORYBOARD", text), ("REFERENCES", b""))
        (answer,) = pod.front.stub().ModelStreamInfer(iter([streamed]), timeout=10)
        assert answer.error_message.startswith(expected.name)
        assert dialled == []


def test_the_id_of_a_request_is_found_in_both_forms() -> None:
    identifier = Pod("lafi-main", 7).new_identifier()
    command = Command(action="attach", id=identifier)
    assert identifier_in(pursued_request(command, lambda data: None)) == identifier
    assert identifier_in(control_request(command)) == identifier
    assert identifier_in(of("storyboard", ("STORYBOARD", b"{}"), ("REFERENCES", b""))) == ""
    assert identifier_in(of("identity", ("IMAGE", identifier.encode()))) == ""
    large = of("storyboard", ("STORYBOARD", b"{}" + b" " * 5000), ("REFERENCES", b""))
    assert identifier_in(large) == ""


# What is asked at one pod about a storyboard of the other ends as if it were asked there.


def test_attach_at_another_pod_gives_the_events_and_lets_the_panels_go(short_folder: Path) -> None:
    with two(short_folder) as (first, second):
        with client_of(first) as client:
            identifier = client.submit(board(1, 2, 3))
        assert Pod("lafi-main", 3).owner(identifier) == first.pod
        with client_of(second) as client:
            events = list(client.attach(identifier))
        assert sorted(e.panel for e in events if isinstance(e, PanelImage)) == [0, 1, 2]
        assert isinstance(events[-1], Finished)
        assert not left_of(first, identifier), "every panel was acknowledged, at the other pod"
        assert first.desk.panels.stats().pinned_bytes == 0
        assert second.desk.drawn == []


def test_the_asynchronous_client_is_right_as_well(short_folder: Path) -> None:
    async def attach(url: str, identifier: str) -> list[Any]:
        async with AsyncStoryboardClient(url, retries=QUICK) as client:
            return [event async for event in client.attach(identifier)]

    with two(short_folder) as (first, second):
        with client_of(first) as client:
            identifier = client.submit(board(1))
        events = asyncio.run(attach(second.front.url, identifier))
        assert isinstance(events[-1], Finished)
        assert not left_of(first, identifier)


def test_cancel_and_queue_at_another_pod(short_folder: Path) -> None:
    with two(short_folder, open_gate=False) as (first, second):
        with client_of(first) as client:
            identifier = client.submit(board(1, 2, detach=True))
        with client_of(second) as client:
            assert client.queue() == [], "its own, without an id"
            of_owner = control_request(Command(action="queue", id=identifier))
            (entry,) = queue_in(second.front.stub().ModelInfer(of_owner, timeout=10), "")
            assert entry.id == identifier[:8]
            client.cancel(identifier)
            with pytest.raises(StoryboardUnknown):
                client.cancel(identifier)
        assert not left_of(first, identifier)
        soon(lambda: not first.desk.service.in_flight(identifier))


def test_acknowledge_is_counted_by_the_owner(short_folder: Path) -> None:
    with two(short_folder) as (first, second):
        with client_of(first) as client:
            identifier = client.submit(board(1, 2))
        soon(lambda: not first.desk.service.in_flight(identifier))
        answers = []
        for panel in (0, 1):
            command = Command(action="acknowledge", id=identifier, panels=(panel,))
            answer = second.front.stub().ModelInfer(control_request(command), timeout=10)
            answers.append(answer.raw_output_contents[0][4:])
        assert b'"left":1' in answers[0]
        assert b'"left":0' in answers[1]
        assert not left_of(first, identifier)


def test_both_pods_in_one_balanced_address_leave_nothing_pinned(short_folder: Path) -> None:
    with two(short_folder) as pods:
        url = "ipv4:" + ",".join(pod.front.url for pod in pods)
        boards = [board(seed, 100 + seed) for seed in range(8)]
        with StoryboardClient(url, retries=PATIENT) as client, ThreadPoolExecutor(4) as pool:
            assert [len(panels) for panels in pool.map(client.draw_all, boards)] == [2] * 8
        assert all(pod.desk.drawn for pod in pods), "gRPC went round"
        for pod in pods:
            assert pod.desk.keeper.count() == 0
            assert pod.desk.panels.stats().pinned_bytes == 0


def test_an_id_that_the_owner_does_not_know_is_not_found(short_folder: Path) -> None:
    with two(short_folder) as (first, second), client_of(second) as client:
        for identifier in (first.pod.new_identifier(), second.pod.new_identifier(), "0" * 32):
            for ask in (client.cancel, lambda each: list(client.attach(each))):
                with pytest.raises(StoryboardUnknown, match=identifier):
                    ask(identifier)


def test_who_leaves_at_another_pod_leaves_at_the_owner(short_folder: Path) -> None:
    with two(short_folder, open_gate=False) as (first, second):
        with client_of(first) as client:
            identifier = client.submit(board(1, 2, detach=True))
        with client_of(second) as client:
            events = client.attach(identifier)
            assert isinstance(next(events), Accepted)
            soon(lambda: first.front.gate.in_flight == 1)
            assert second.front.gate.in_flight == 1
            events.close()
        soon(lambda: first.front.gate.in_flight == 0 and second.front.gate.in_flight == 0)


def test_a_deadline_goes_along(short_folder: Path) -> None:
    with two(short_folder, open_gate=False) as (first, second):
        seen: list[float] = []
        original = Peers.metadata

        def spy(self: Peers, context: Any) -> Any:
            seen.append(context.time_remaining())
            return original(self, context)

        with client_of(first) as client:
            identifier = client.submit(board(1, detach=True))
        request = pursued_request(Command(action="attach", id=identifier), lambda data: None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Peers, "metadata", spy)
            with pytest.raises(grpc.RpcError) as ended:
                list(second.front.stub().ModelStreamInfer(iter([request]), timeout=1.0))
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # gRPC writes a timeout in few digits, rounded up: 1.009 s of 1 s was seen.
        assert 0 < seen[0] <= 1.1
        soon(lambda: first.front.gate.in_flight == 0)


# Keys and TLS.


def test_the_callers_key_goes_along_and_says_whose_it_is(
    short_folder: Path, tmp_path: Path
) -> None:
    keys = {name: new_key() for name in ("studio", "other")}
    entries = [Key(name=n, rights=("draw",), sha256=hash_of(key)) for n, key in keys.items()]
    write_keys(path := tmp_path / "keys.json", KeyFile(keys=tuple(entries)))
    with two(short_folder, keys=str(path)) as (first, second):
        with client_of(first, api_key=keys["studio"]) as client:
            identifier = client.submit(board(1))
        with client_of(second, api_key=keys["other"]) as client:
            with pytest.raises(StoryboardUnknown):
                list(client.attach(identifier))
            with pytest.raises(StoryboardUnknown):
                client.cancel(identifier)
        with client_of(second) as client, pytest.raises(NotAllowed):
            client.cancel(identifier)
        with client_of(second, api_key=keys["studio"]) as client:
            assert isinstance(list(client.attach(identifier))[-1], Finished)
        assert not left_of(first, identifier)


def test_a_key_that_the_owner_does_not_know_yet_is_no_error_inside(
    short_folder: Path, tmp_path: Path
) -> None:
    """As in every change of keys: they do not reach all pods at once."""
    files = {}
    keys = {"old": (2, new_key()), "new": (3, new_key())}
    for name, (ordinal, key) in keys.items():
        entry = Key(name=name, rights=("draw",), sha256=hash_of(key))
        files[ordinal] = tmp_path / f"{name}.json"
        write_keys(files[ordinal], KeyFile(keys=(entry,)))
    port = free_port()
    with (
        pod_server(short_folder, 2, port, keys=str(files[2])) as first,
        pod_server(short_folder, 3, port, keys=str(files[3])) as second,
    ):
        identifier = first.pod.new_identifier()
        sent: dict[str, Any] = {
            "metadata": [("authorization", f"Bearer {keys['new'][1]}")],
            "timeout": 10,
        }
        words = "this server does not know the key"
        command = Command(action="cancel", id=identifier)
        with pytest.raises(grpc.RpcError) as refused:
            second.front.stub().ModelInfer(control_request(command), **sent)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert words in refused.value.details()
        request = pursued_request(Command(action="attach", id=identifier), lambda data: None)
        for _ in range(50):  # the status may come before the request is sent
            (answer,) = second.front.stub().ModelStreamInfer(iter([request]), **sent)
            assert answer.error_message.startswith(f"UNAUTHENTICATED: {words}")


@pytest.mark.parametrize("mutual", [False, True])
def test_pods_speak_tls_to_each_other(short_folder: Path, tmp_path: Path, mutual: bool) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(root := tmp_path / "root.pem")
    issued = authority.issue_cert("127.0.0.2", "127.0.0.3")
    issued.private_key_and_cert_chain_pem.write_to_path(whole := tmp_path / "server.pem")
    files = TlsFiles(certificate=str(whole), key=str(whole), client_ca=str(root) if mutual else "")
    own = whole.read_bytes()
    credentials = grpc.ssl_channel_credentials(root.read_bytes(), own, own)
    with two(short_folder, tls=files, peers={"ca": str(root)}) as (first, second):
        with client_of(first, credentials=credentials) as client:
            identifier = client.submit(board(1))
        with client_of(second, credentials=credentials) as client:
            assert isinstance(list(client.attach(identifier))[-1], Finished)
        assert not left_of(first, identifier)
    with two(short_folder, tls=files) as (first, second):
        identifier = first.pod.new_identifier()
        with (
            client_of(second, credentials=credentials) as client,
            pytest.raises(OwnerUnavailable, match="lafi-main-2"),
        ):
            client.cancel(identifier)


def test_a_front_without_a_name_passes_nothing_on() -> None:
    request = control_request(Command(action="cancel", id=Pod("lafi-main", 2).new_identifier()))
    assert Peers(None).owned_elsewhere(request) is None
