"""Refused streams: read to their end, and not sent again where that cannot help."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from lafi.board.storyboard import Storyboard
from lafi.wire.events import Accepted, Event, Failed
from lafi_client.client import StoryboardClient
from lafi_client.errors import LafiError, StoryboardRefused, error_from_status


def refusing_slowly(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[str]:
    yield "INVALID_ARGUMENT: width: got 72"
    time.sleep(0.3)


def failing_slowly(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
    yield Accepted(panels=len(storyboard.panels), portraits=0)
    yield Failed(error="division by zero", retryable=False)
    time.sleep(0.3)


@pytest.mark.parametrize("script", [refusing_slowly, failing_slowly])
def test_a_refused_stream_is_read_to_its_end(
    server: Any, storyboard: Storyboard, script: Any
) -> None:
    """Triton Server dies of clients that cancel after a refusal."""
    server.scripts = [script]
    with StoryboardClient(server.url) as client:
        with pytest.raises(LafiError):
            client.draw_all(storyboard)
        assert server.completed.wait(5)
    assert not server.cancelled.is_set()


def test_a_message_that_is_too_large_is_not_sent_again(server: Any, storyboard: Storyboard) -> None:
    def too_large(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        text = "Received message larger than max (9 vs. 8)"
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        yield

    server.scripts = [too_large]
    with (
        StoryboardClient(server.url) as client,
        pytest.raises(StoryboardRefused, match="larger than max"),
    ):
        client.draw_all(storyboard)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Stream removed (recvmsg:Connection reset by peer (104))",
        "Connection reset by peer",
        "Socket closed",
    ],
)
def test_a_connection_that_a_killed_server_leaves_is_made_again(text: str) -> None:
    assert error_from_status(grpc.StatusCode.UNKNOWN, text, "host:1").retryable
