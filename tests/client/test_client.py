"""The synchronous client against a real gRPC server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from quick_clients import QUICK, client_of, silent

from lafi.board.storyboard import Storyboard
from lafi.wire.events import Accepted, Event, Failed, Finished, PanelImage, Portrait, Progress
from lafi_client.client import StoryboardClient
from lafi_client.errors import (
    LafiError,
    PanelFailed,
    ServerUnavailable,
    StoryboardRefused,
)
from lafi_client.retry import RetryPolicy


def one_then(end: Any) -> Any:
    """A script that sends the first panel it was asked for and then does `end`."""

    def script(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Any]:
        from_well = script.well(storyboard, context)  # type: ignore[attr-defined]
        for event in from_well:
            yield event
            if isinstance(event, PanelImage):
                break
        yield from end(context)

    return script


def saying(text: str) -> Any:
    return lambda storyboard, context: iter([text])


def aborting(code: grpc.StatusCode, text: str) -> Any:
    def script(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Any]:
        context.abort(code, text)
        yield

    return script


def failing(*failures: Failed) -> Any:
    def script(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        yield Accepted(panels=len(storyboard.panels), portraits=0)
        yield from failures
        yield Finished(panels=0, seconds=0.1)

    return script


def test_panels_come_as_they_finish_and_events_in_order(
    server: Any, storyboard: Storyboard
) -> None:
    with client_of(server) as client:
        assert client.ready()
        events = list(client.events(storyboard))
        assert [panel.panel for panel in client.draw(storyboard)] == [2, 1, 0]
        panels = client.draw_all(storyboard)
    kinds = [type(event) for event in events]
    assert kinds == [Accepted, Portrait, *[Progress, PanelImage] * 3, Finished]
    assert [panel.panel for panel in panels] == [0, 1, 2]
    assert all(panel.png.startswith(b"\x89PNG") for panel in panels)
    assert server.received == [storyboard] * 3


def test_a_first_panel_arrives_before_the_last_is_drawn(
    server: Any, storyboard: Storyboard
) -> None:
    seen = threading.Event()
    finish = server.scripts[0]

    def waits(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in finish(asked, context):
            yield event
            if isinstance(event, PanelImage):
                assert seen.wait(10)

    server.scripts = [waits]
    with client_of(server) as client:
        panels = client.draw(storyboard)
        assert next(panels).panel == 2
        seen.set()
        assert [panel.panel for panel in panels] == [1, 0]


def test_only_some_panels_are_asked_for_under_their_own_numbers(
    server: Any, storyboard: Storyboard
) -> None:
    with client_of(server) as client:
        panels = client.draw_all(storyboard, only=[2, 1])
        with pytest.raises(ValueError, match="only: got panel 3, allowed 0 to 2"):
            client.draw_all(storyboard, only=[3])
    assert [(panel.panel, panel.seed) for panel in panels] == [(1, 1), (2, 2)]
    assert server.received[0].panels == storyboard.panels[1:]


def test_a_broken_stream_asks_only_for_what_has_not_arrived(
    server: Any, storyboard: Storyboard
) -> None:
    def breaks(context: grpc.ServicerContext) -> Iterator[Any]:
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        yield

    broken = one_then(breaks)
    broken.well = server.scripts[0]
    server.scripts = [broken, broken, broken, server.scripts[0]]
    with client_of(server, retries=RetryPolicy(1, first_delay=0.01)) as client:
        events = list(client.events(storyboard))
    assert [len(asked.panels) for asked in server.received] == [3, 2, 1]
    panels = [event for event in events if isinstance(event, PanelImage)]
    assert [(panel.panel, panel.seed) for panel in panels] == [(2, 2), (1, 1), (0, 0)]
    assert [type(event) for event in events].count(Accepted) == 1
    assert [type(event) for event in events].count(Portrait) == 1
    assert isinstance(events[-1], Finished)
    assert events[-1].panels == 3


def test_a_stream_that_just_ends_is_broken_too(server: Any, storyboard: Storyboard) -> None:
    ends = one_then(lambda context: iter(()))
    ends.well = server.scripts[0]
    server.scripts = [ends, server.scripts[0]]
    with client_of(server) as client:
        assert len(client.draw_all(storyboard)) == 3
    assert [len(asked.panels) for asked in server.received] == [3, 2]


def test_a_server_that_comes_back_finishes_the_storyboard(
    server: Any, storyboard: Storyboard
) -> None:
    def goes_down(context: grpc.ServicerContext) -> Iterator[Any]:
        threading.Thread(target=restart).start()
        while context.is_active():
            time.sleep(0.01)
        return iter(())

    def restart() -> None:
        server.stop()
        time.sleep(0.3)
        server.start()

    down = one_then(goes_down)
    down.well = server.scripts[0]
    server.scripts = [down, server.scripts[0]]
    policy = RetryPolicy(retries=30, first_delay=0.1, max_delay=0.3)
    with client_of(server, retries=policy) as client:
        assert len(client.draw_all(storyboard)) == 3
    assert [len(asked.panels) for asked in server.received] == [3, 2]


@pytest.mark.parametrize(
    "text",
    [
        "Request for unknown model: 'storyboard' has no available versions",
        "in ensemble, Server not ready",
        "UNAVAILABLE: the server is shutting down",
        "this server draws at most 2 storyboards at a time and 2 are in flight; try again later",
    ],
)
def test_not_now_is_tried_again(server: Any, storyboard: Storyboard, text: str) -> None:
    server.scripts = [saying(text), server.scripts[0]]
    with client_of(server) as client:
        assert len(client.draw_all(storyboard)) == 3
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        (saying("panels[0].prompt: got ''"), StoryboardRefused, r"^panels\[0\]\.prompt: got ''$"),
        (
            saying("INVALID_ARGUMENT: width: got 72\nheight: got 1"),
            StoryboardRefused,
            "^width: got 72\nheight: got 1$",
        ),
        (saying("INTERNAL: out of memory"), LafiError, "the server failed: out of memory"),
        (
            failing(Failed(error="division by zero", retryable=False)),
            LafiError,
            "the server failed: division by zero",
        ),
        (
            aborting(grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape"),
            StoryboardRefused,
            "^unexpected shape$",
        ),
        (
            saying("Request for unknown model: 'storyboard' is not found"),
            ServerUnavailable,
            "unknown model",
        ),
        (
            aborting(grpc.StatusCode.UNIMPLEMENTED, "no such method"),
            ServerUnavailable,
            "no such method",
        ),
    ],
)
def test_what_cannot_help_is_not_tried_again(
    server: Any, storyboard: Storyboard, script: Any, error: type[LafiError], text: str
) -> None:
    server.scripts = [script]
    with client_of(server) as client, pytest.raises(error, match=text) as raised:
        client.draw_all(storyboard)
    assert len(server.received) == 1
    assert not raised.value.retryable


def test_repeats_come_to_an_end(server: Any, storyboard: Storyboard) -> None:
    server.scripts = [aborting(grpc.StatusCode.UNAVAILABLE, "going away")]
    with client_of(server) as client, pytest.raises(ServerUnavailable, match="going away"):
        client.draw_all(storyboard)
    assert len(server.received) == 1 + QUICK.retries


@pytest.mark.parametrize("leave", ["close", "break"])
def test_leaving_early_cancels_on_the_server(
    server: Any, storyboard: Storyboard, leave: str
) -> None:
    stays = one_then(lambda context: silent(storyboard, context))
    stays.well = server.scripts[0]
    server.scripts = [stays]
    with client_of(server) as client:
        panels = client.draw(storyboard)
        if leave == "close":
            next(panels)
            panels.close()  # type: ignore[attr-defined]
        else:
            for _ in client.draw(storyboard):
                break
        assert server.cancelled.wait(5)
        assert not [t for t in threading.enumerate() if t.name == "lafi-stream"]


def test_failed_panels_are_told_and_the_others_come(server: Any, storyboard: Storyboard) -> None:
    well = server.scripts[0]

    def one_fails(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(asked, context):
            if isinstance(event, PanelImage) and event.panel == 1:
                yield Failed(panel=1, error="out of memory", retryable=False)
            else:
                yield event

    server.scripts = [one_fails]
    with client_of(server) as client:
        with pytest.raises(PanelFailed, match="panel 1: out of memory") as raised:
            client.draw_all(storyboard)
        assert [panel.panel for panel in raised.value.panels] == [0, 2]
        (failed,) = [e for e in client.events(storyboard) if isinstance(e, Failed)]
    assert failed.panel == 1


def test_a_panel_that_may_succeed_later_is_asked_for_again(
    server: Any, storyboard: Storyboard
) -> None:
    later = failing(Failed(panel=0, error="busy", retryable=True))
    server.scripts = [later, server.scripts[0]]
    with client_of(server) as client:
        assert len(client.draw_all(storyboard)) == 3


def test_a_panel_that_never_succeeds_is_given_up(server: Any, storyboard: Storyboard) -> None:
    server.scripts = [failing(Failed(panel=0, error="busy", retryable=True))]
    with client_of(server) as client:
        events = list(client.events(storyboard, only=[1]))
    _, failed, finished = events
    assert failed == Failed(panel=1, error="busy", retryable=True)
    assert isinstance(finished, Finished)
    assert finished.panels == 0
    assert len(server.received) == 1 + QUICK.retries


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "localhost", "host:0", "host:70000", ""])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="allowed host:port of the server's gRPC port"):
        StoryboardClient(url)
