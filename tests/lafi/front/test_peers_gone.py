"""An owner that cannot be asked is named, and no call about a storyboard goes round."""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from desk_server import board
from front_server import front_server
from pods import PodServer, free_port, left_of, pod_server, two
from quick_clients import client_of
from waiting import soon

from lafi.front.peers import FORWARDED, Peers
from lafi.wire.control import Command
from lafi.wire.events import Accepted, Finished, PanelImage
from lafi.wire.pods import Pod
from lafi_client.client import StoryboardClient
from lafi_client.retry import RetryPolicy
from lafi_client.wire import control_request, pursued_request

# An owner that cannot be asked.


def ends_unavailable(
    pod: PodServer,
    identifier: str,
    words: str,
    actions: tuple[str, ...] = ("cancel", "acknowledge", "queue"),
) -> None:
    """All commands end so, with the owner's name; `attach` always is among them."""
    stub = pod.front.stub()
    for action in actions:
        command = Command(action=action, id=identifier)  # type: ignore[arg-type]
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(control_request(command), timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert words in refused.value.details()
    request = pursued_request(Command(action="attach", id=identifier), lambda data: None)
    (answer,) = stub.ModelStreamInfer(iter([request]), timeout=20)
    assert answer.error_message.startswith(f"UNAVAILABLE: id: {identifier} is of the server ")
    assert words in answer.error_message
    assert pod.front.gate.ready, "another pod's trouble is not this one's"


def test_a_gone_owner_is_unavailable_and_named_until_it_comes_back(short_folder: Path) -> None:
    port = free_port()
    with pod_server(short_folder, 3, port) as second:
        with pod_server(short_folder, 2, port) as first, client_of(first) as client:
            identifier = client.submit(board(1))
            soon(lambda: not first.desk.service.in_flight(identifier))
        ends_unavailable(second, identifier, "the server lafi-main-2, which takes no calls now")
        with pod_server(short_folder, 2, port) as first, client_of(second) as client:
            assert isinstance(list(client.attach(identifier))[-1], Finished)
            assert not left_of(first, identifier)


def test_a_pod_that_never_was_and_one_that_says_nothing_are_gone(short_folder: Path) -> None:
    port = free_port()
    with (
        pod_server(short_folder, 3, port) as pod,
        socket.create_server(("127.0.0.4", port)) as silent,
    ):
        assert silent.getsockname()[0] == "127.0.0.4"
        for ordinal in (4000, 4):  # 127.0.0.4000 is no address
            other = Pod("lafi-main", ordinal)
            words = f"{other}, which takes no calls now"
            ends_unavailable(pod, other.new_identifier(), words, actions=("cancel",))


def test_a_broken_owner_says_no_more_than_that(short_folder: Path) -> None:
    with two(short_folder, open_gate=False) as (first, second):
        with client_of(first) as client:
            identifier = client.submit(board(1, detach=True))
        request = pursued_request(Command(action="attach", id=identifier), lambda data: None)
        answers = second.front.stub().ModelStreamInfer(iter([request]), timeout=20)
        assert not next(answers).error_message
        first.front.loop.call_soon_threadsafe(first.front.gate.close, "the server is broken", 9.0)
        (last,) = list(answers)
        assert last.error_message == (
            f"UNAVAILABLE: id: {identifier} is of the server {first.pod}, which takes no calls now "
            "(the server is broken; again in about 9 s); try again later, or send the storyboard "
            "again"
        )
        assert second.front.gate.ready


def test_a_storyboard_whose_owner_is_gone_is_drawn_by_another_at_once(short_folder: Path) -> None:
    port = free_port()
    with pod_server(short_folder, 3, port) as second, ExitStack() as ending:
        first = ending.enter_context(pod_server(short_folder, 2, port, open_gate=False))
        url = f"{first.front.url},{second.front.url}"
        policy = RetryPolicy(retries=3, first_delay=0.02, max_delay=0.05)
        with StoryboardClient(url, retries=policy, timeout=30) as client:
            events = client.events(board(1, 2))
            assert isinstance(next(events), Accepted)
            threading.Thread(target=ending.close).start()
            panels = [event.panel for event in events if isinstance(event, PanelImage)]
        assert sorted(panels) == [0, 1]
        assert len(second.desk.drawn) == 2


def test_a_front_that_was_not_told_where_the_others_are_names_the_owner(
    short_folder: Path,
) -> None:
    alone = {"pod": "lafi-main-3"}
    with front_server(short_folder, peers=alone) as front:
        identifier = Pod("lafi-main", 2).new_identifier()
        request = control_request(Command(action="cancel", id=identifier))
        with pytest.raises(grpc.RpcError) as refused:
            front.stub().ModelInfer(request, timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        words = "is of the server lafi-main-2, which lafi-main-3 cannot reach (lafi serve --peers)"
        assert words in refused.value.details()


# No loops.


def test_a_call_that_was_passed_on_goes_no_further(short_folder: Path) -> None:
    with two(short_folder) as (first, second):
        identifier = first.pod.new_identifier()
        command = Command(action="cancel", id=identifier)
        with pytest.raises(grpc.RpcError) as refused:
            second.front.stub().ModelInfer(
                control_request(command), metadata=[(FORWARDED, "lafi-main-9")], timeout=10
            )
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "is not lafi-main-3, to which the call was passed on" in refused.value.details()
        assert first.front.triton.received == []


def test_a_template_that_leads_back_ends_after_one_step(short_folder: Path) -> None:
    port = free_port()
    counted: list[int] = []
    original: Callable[..., Any] = Peers.metadata

    def count(self: Peers, context: Any) -> Any:
        counted.append(1)
        return original(self, context)

    with pod_server(short_folder, 2, port) as pod, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Peers, "metadata", count)
        patch.setattr(Peers, "target", lambda self, owner: f"dns:///127.0.0.2:{port}")
        ends_unavailable(
            pod, Pod("lafi-main", 5).new_identifier(), "the server lafi-main-5, which "
        )
        assert len(counted) == 4, "each of the four calls was passed on once"
