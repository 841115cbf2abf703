"""The asynchronous client against the same real gRPC server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import grpc
import pytest
from quick_clients import async_client_of, silent

from lafi.board.storyboard import Storyboard
from lafi.wire.events import Accepted, Event, Failed, Finished, PanelImage, Portrait, Progress
from lafi_client.errors import DrawTimeout, PanelFailed, ServerUnavailable, StoryboardRefused
from lafi_client.retry import RetryPolicy


def test_panels_come_as_they_finish_and_events_in_order(
    server: Any, storyboard: Storyboard
) -> None:
    async def run() -> tuple[list[Event], list[int], list[int]]:
        async with async_client_of(server) as client:
            assert await client.ready()
            events = [event async for event in client.events(storyboard)]
            drawn = [panel.panel async for panel in client.draw(storyboard)]
            return events, drawn, [panel.panel for panel in await client.draw_all(storyboard)]

    events, drawn, ordered = asyncio.run(run())
    kinds = [type(event) for event in events]
    assert kinds == [Accepted, Portrait, *[Progress, PanelImage] * 3, Finished]
    assert drawn == [2, 1, 0]
    assert ordered == [0, 1, 2]


def test_many_storyboards_at_once(server: Any, storyboard: Storyboard) -> None:
    together = threading.Barrier(3)
    well = server.scripts[0]

    def meet(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        together.wait(10)
        yield from well(asked, context)

    async def run() -> list[list[PanelImage]]:
        async with async_client_of(server) as client:
            return await asyncio.gather(*(client.draw_all(storyboard) for _ in range(3)))

    server.scripts = [meet]
    assert [len(panels) for panels in asyncio.run(run())] == [3, 3, 3]


def test_a_broken_stream_asks_only_for_what_has_not_arrived(
    server: Any, storyboard: Storyboard
) -> None:
    well = server.scripts[0]

    def breaks(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(asked, context):
            yield event
            if isinstance(event, PanelImage):
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    async def run() -> list[PanelImage]:
        async with async_client_of(server, retries=RetryPolicy(1, first_delay=0.01)) as client:
            return await client.draw_all(storyboard)

    server.scripts = [breaks]
    assert [panel.seed for panel in asyncio.run(run())] == [0, 1, 2]
    assert [len(asked.panels) for asked in server.received] == [3, 2, 1]


def test_a_refused_stream_is_read_to_its_end(server: Any, storyboard: Storyboard) -> None:
    def refusing_slowly(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[str]:
        yield "INVALID_ARGUMENT: width: got 72"
        time.sleep(0.3)

    async def run() -> None:
        async with async_client_of(server) as client:
            with pytest.raises(StoryboardRefused):
                await client.draw_all(storyboard)

    server.scripts = [refusing_slowly]
    asyncio.run(run())
    assert server.completed.wait(5)
    assert not server.cancelled.is_set()


@pytest.mark.parametrize(
    ("text", "error", "streams"),
    [
        ("panels[0].prompt: got ''", StoryboardRefused, 1),
        ("model 'storyboard' has no available versions", ServerUnavailable, 4),
    ],
)
def test_errors(
    server: Any, storyboard: Storyboard, text: str, error: type[Exception], streams: int
) -> None:
    async def run() -> None:
        async with async_client_of(server) as client:
            await client.draw_all(storyboard)

    server.scripts = [lambda asked, context: iter([text])]
    with pytest.raises(error, match=r"panels|versions"):
        asyncio.run(run())
    assert len(server.received) == streams


def test_failed_panels_are_told_and_the_others_come(server: Any, storyboard: Storyboard) -> None:
    well = server.scripts[0]

    def one_fails(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(asked, context):
            if isinstance(event, PanelImage) and event.panel == 1:
                yield Failed(panel=1, error="out of memory", retryable=False)
            else:
                yield event

    async def run() -> None:
        async with async_client_of(server) as client:
            await client.draw_all(storyboard)

    server.scripts = [one_fails]
    with pytest.raises(PanelFailed, match="panel 1: out of memory") as raised:
        asyncio.run(run())
    assert [panel.panel for panel in raised.value.panels] == [0, 2]


def test_silence_ends_a_drawing(server: Any, storyboard: Storyboard) -> None:
    async def run() -> None:
        async with async_client_of(server, idle_timeout=0.5, probe_interval=0.1) as client:
            await client.draw_all(storyboard)

    server.scripts = [silent]
    with pytest.raises(DrawTimeout, match="although the server is alive"):
        asyncio.run(run())
    assert server.probes >= 2
    assert server.cancelled.wait(5)


def test_silence_of_a_server_that_is_going_away(server: Any, storyboard: Storyboard) -> None:
    async def run() -> None:
        async with async_client_of(server, probe_interval=0.05, retries=0) as client:
            await client.draw_all(storyboard)

    server.scripts, server.live = [silent], False
    with pytest.raises(ServerUnavailable, match="is shutting down"):
        asyncio.run(run())


def test_the_whole_takes_too_long(server: Any, storyboard: Storyboard) -> None:
    def endless(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        while context.is_active():
            yield Progress(panel=0, step=1, steps=2)
            time.sleep(0.02)

    async def run() -> None:
        async with async_client_of(server, timeout=0.5) as client:
            await client.draw_all(storyboard)

    server.scripts = [endless]
    with pytest.raises(DrawTimeout, match=r"not finished after 0\.5 s"):
        asyncio.run(run())


def test_cancelling_the_task_cancels_on_the_server(server: Any, storyboard: Storyboard) -> None:
    async def run() -> bool:
        async with async_client_of(server) as client:
            task = asyncio.create_task(client.draw_all(storyboard))
            while not server.received:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.to_thread(server.cancelled.wait, 5)

    server.scripts = [silent]
    assert asyncio.run(run())


@pytest.mark.parametrize("leave", ["aclosing", "break"])
def test_leaving_early_cancels_on_the_server(
    server: Any, storyboard: Storyboard, leave: str
) -> None:
    async def run() -> bool:
        async with async_client_of(server) as client:
            if leave == "aclosing":
                async with aclosing(client.events(storyboard)) as events:
                    await anext(events)
            else:
                async for _ in client.events(storyboard):
                    break
            return await asyncio.to_thread(server.cancelled.wait, 5)

    server.scripts = [silent]
    assert asyncio.run(run())
