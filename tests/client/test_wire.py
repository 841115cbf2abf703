"""What a server may say that this client does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from lafi.board.storyboard import Storyboard
from lafi.wire.contract import event_to_tensors
from lafi.wire.events import Progress
from lafi.wire.model_spec import bytes_tensor
from lafi_client.client import StoryboardClient
from lafi_client.errors import LafiError


def test_an_event_that_cannot_be_read_is_an_error(server: Any, storyboard: Storyboard) -> None:
    stranger = Progress.model_construct(panel=0, step=-1, steps=1)
    server.scripts = [lambda asked, context: iter([stranger])]
    with (
        StoryboardClient(server.url, retries=0) as client,
        pytest.raises(LafiError, match="same version"),
    ):
        client.draw_all(storyboard)


def test_kinds_and_fields_of_a_newer_server_are_ignored(
    server: Any, storyboard: Storyboard
) -> None:
    well = server.scripts[0]

    def newer(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Any]:
        for event in well(asked, context):
            tensors = event_to_tensors(event)
            document = json.loads(tensors["EVENT"][0]) | {"loudness": 3}
            yield tensors | {"EVENT": bytes_tensor(json.dumps(document).encode())}
            yield tensors | {"EVENT": bytes_tensor(b'{"kind": "applause", "panel": 99}')}

    with StoryboardClient(server.url, retries=0) as client:
        expected = list(client.events(storyboard))
        server.scripts = [newer]
        assert list(client.events(storyboard)) == expected


def test_empty_responses_mean_nothing(server: Any, storyboard: Storyboard) -> None:
    well = server.scripts[0]
    server.scripts = [lambda asked, context: iter([None, *well(asked, context), None])]
    with StoryboardClient(server.url, retries=0) as client:
        assert len(client.draw_all(storyboard)) == 3
