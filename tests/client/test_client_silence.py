"""What the client does when a server is silent, gone or too slow."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from quick_clients import QUICK, client_of, silent

from lafi.board.storyboard import Storyboard
from lafi.wire.events import Accepted, Event, Progress
from lafi_client.client import StoryboardClient
from lafi_client.errors import (
    DrawTimeout,
    ServerUnavailable,
)


def test_nobody_listens(storyboard: Storyboard) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with StoryboardClient(f"127.0.0.1:{port}", retries=QUICK) as client:
        assert not client.ready()
        with pytest.raises(ServerUnavailable, match="lafi serve"):
            client.draw_all(storyboard)


def test_silence_ends_a_drawing(server: Any, storyboard: Storyboard) -> None:
    server.scripts = [silent]
    with client_of(server, idle_timeout=0.5, probe_interval=0.1) as client:
        started = time.monotonic()
        with pytest.raises(DrawTimeout, match="although the server is alive"):
            client.draw_all(storyboard)
        assert 0.4 < time.monotonic() - started < 5
    assert server.probes >= 2
    assert server.cancelled.wait(5)


def test_waiting_for_its_turn_is_not_silence(server: Any, storyboard: Storyboard) -> None:
    well = server.scripts[0]

    def busy(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(asked, context):
            yield event
            if isinstance(event, Accepted):
                time.sleep(1.0)

    server.scripts = [busy]
    limits = {"idle_timeout": 0.3, "probe_interval": 0.1}
    with client_of(server, **limits) as client:
        assert len(client.draw_all(storyboard)) == 3
    with (
        client_of(server, **limits, queue_timeout=0.4) as client,
        pytest.raises(DrawTimeout, match=r"no event for 0\.4 s"),
    ):
        client.draw_all(storyboard)


def test_silence_of_a_server_that_is_going_away(server: Any, storyboard: Storyboard) -> None:
    server.scripts, server.live = [silent], False
    with (
        client_of(server, idle_timeout=30.0, probe_interval=0.05, retries=1) as client,
        pytest.raises(ServerUnavailable, match="is shutting down"),
    ):
        client.draw_all(storyboard)
    assert len(server.received) == 2


def test_a_port_that_accepts_and_never_answers(storyboard: Storyboard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"127.0.0.1:{mute.getsockname()[1]}"
        with (
            StoryboardClient(url, idle_timeout=0.6, probe_interval=0.2, retries=0) as client,
            pytest.raises(ServerUnavailable, match="stopped answering"),
        ):
            client.draw_all(storyboard)


def test_a_slow_consumer_is_not_silence(server: Any, storyboard: Storyboard) -> None:
    with client_of(server, idle_timeout=0.2, probe_interval=0.1) as client:
        numbers = []
        for panel in client.draw(storyboard):
            numbers.append(panel.panel)
            time.sleep(0.4)
    assert numbers == [2, 1, 0]


def test_the_whole_takes_too_long(server: Any, storyboard: Storyboard) -> None:
    def endless(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        while context.is_active():
            yield Progress(panel=0, step=1, steps=2)
            time.sleep(0.02)

    server.scripts = [endless]
    with (
        client_of(server, timeout=0.5) as client,
        pytest.raises(DrawTimeout, match=r"not finished after 0\.5 s"),
    ):
        client.draw_all(storyboard)
    assert server.cancelled.wait(5)
