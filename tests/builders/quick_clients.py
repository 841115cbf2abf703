"""Clients that give up soon, and a server's script that makes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc

from lafi.board.storyboard import Storyboard
from lafi.wire.events import Accepted, Event, Progress
from lafi_client.aio import AsyncStoryboardClient
from lafi_client.client import StoryboardClient
from lafi_client.retry import RetryPolicy

QUICK = RetryPolicy(retries=3, first_delay=0.02, max_delay=0.1)


def client_of(server: Any, **options: Any) -> StoryboardClient:
    return StoryboardClient(server.url, **{"retries": QUICK, "timeout": 20.0, **options})


def async_client_of(server: Any, **options: Any) -> AsyncStoryboardClient:
    return AsyncStoryboardClient(server.url, **{"retries": QUICK, "timeout": 20.0, **options})


def silent(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Event | str]:
    """Begin, then say nothing for as long as anybody listens, as a killed model process does."""
    yield Accepted(panels=len(storyboard.panels), portraits=0)
    yield Progress(panel=0, step=1, steps=2)
    while context.is_active():
        time.sleep(0.01)
