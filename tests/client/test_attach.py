"""A client comes back to its storyboard by the id, and lets go what it holds."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from quick_clients import QUICK, client_of
from rich.console import Console

from lafi.board.storyboard import Storyboard
from lafi.wire.control import QueueEntry
from lafi.wire.events import Accepted, Event, Failed, Finished, PanelImage
from lafi_client import AsyncStoryboardClient, StoryboardUnknown
from lafi_client.control_commands import attach, cancel, queue, submit
from lafi_client.errors import LafiError, ServerUnavailable
from lafi_client.held import ACKNOWLEDGE_SECONDS, Held

ID = f"{1:032x}"


@pytest.fixture
def server(server: Any) -> Any:
    """The fake server, with ids."""
    server.ids = True
    return server


def breaking(server: Any, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Any:
    """A script that breaks the stream after its first panel."""
    well = server.scripts[0]

    def script(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Any]:
        for event in well(storyboard, context):
            yield event
            if isinstance(event, PanelImage):
                context.abort(code, "Socket closed")

    return script


def actions(server: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(command.action, command.panels) for command in server.commands]


def panels_of(events: list[Event]) -> list[int]:
    return [event.panel for event in events if isinstance(event, PanelImage)]


def test_a_broken_stream_is_attached_to_and_each_panel_comes_once(
    server: Any, storyboard: Storyboard
) -> None:
    server.scripts = [breaking(server), server.scripts[0]]
    with client_of(server) as client:
        events = [*client.events(storyboard)]
    assert server.received == [storyboard], "it is not sent again"
    assert panels_of(events) == [2, 1, 0]
    assert [type(event) for event in events].count(Accepted) == 1
    assert actions(server) == [("attach", (2,)), ("acknowledge", (0, 1, 2))]


@pytest.mark.parametrize(
    "text",
    [
        "Request for unknown model: 'storyboard' has no available versions",
        "Request for unknown model: 'storyboard' is not found",
        "UNAVAILABLE: the server was started anew; try again later",
    ],
)
def test_it_waits_for_a_server_that_starts_again(
    server: Any, storyboard: Storyboard, text: str
) -> None:
    server.scripts = [breaking(server), lambda *_: iter([text]), server.scripts[0]]
    with client_of(server) as client:
        assert panels_of([*client.events(storyboard)]) == [2, 1, 0]
    assert len(server.received) == 1


def test_a_server_that_knows_it_no_more_is_sent_what_is_missing(
    server: Any, storyboard: Storyboard
) -> None:
    broken = breaking(server)

    def forgets(board: Storyboard, context: grpc.ServicerContext) -> Iterator[Any]:
        server.known.clear()
        server.known[ID] = board
        try:
            yield from broken(board, context)
        finally:
            server.known.clear()

    server.scripts = [forgets, server.scripts[0]]
    with client_of(server) as client:
        events = [*client.events(storyboard)]
    assert panels_of(events) == [2, 1, 0]
    assert [len(board.panels) for board in server.received] == [3, 2]


def test_panels_are_acknowledged_under_the_numbers_of_the_storyboard_that_was_sent(
    server: Any, storyboard: Storyboard
) -> None:
    with client_of(server) as client:
        events = [*client.events(storyboard, only=[1, 2])]
    assert panels_of(events) == [2, 1]
    assert actions(server) == [("acknowledge", (0, 1))]


def test_only_what_the_caller_has_taken_is_acknowledged(
    server: Any, storyboard: Storyboard
) -> None:
    with client_of(server) as client:
        panels = client.draw(storyboard)
        next(panels)
        panels.close()
    assert server.commands == []


def test_a_server_without_ids_is_neither_attached_to_nor_told(
    server: Any, storyboard: Storyboard
) -> None:
    server.ids = False
    server.scripts = [breaking(server), server.scripts[0]]
    with client_of(server) as client:
        assert panels_of([*client.events(storyboard)]) == [2, 1, 0]
    assert server.commands == []
    assert [len(board.panels) for board in server.received] == [3, 2]


def test_attach_gives_all_events_of_anothers_storyboard(
    server: Any, storyboard: Storyboard
) -> None:
    with client_of(server) as client:
        assert client.submit(storyboard) == ID
        assert server.received[0].detach
        server.scripts = [breaking(server), breaking(server), server.scripts[0]]
        server.streams = 0
        events = [*client.attach(ID)]
    assert panels_of(events) == [2, 1, 0]
    assert events[-1] == Finished(panels=3, seconds=1.5)
    assert actions(server) == [
        *[("attach", panels) for panels in ((), (2,), (2,))],
        ("acknowledge", (0, 1, 2)),
    ]


def test_attach_tells_which_panels_failed(server: Any, storyboard: Storyboard) -> None:
    failures = [Failed(panel=n, error="no", retryable=bool(n)) for n in range(2)]
    server.known[ID] = storyboard
    server.scripts = [
        lambda *_: iter([Accepted(panels=3, portraits=0), *failures, Finished(panels=0, seconds=1)])
    ]
    with client_of(server) as client:
        events = [*client.attach(ID)]
    assert [event for event in events if isinstance(event, Failed)] == failures
    assert len(server.commands) == 1 + QUICK.retries + 1, "tried again, then acknowledged"


def test_attach_to_an_unknown_id_is_an_error_at_once(server: Any) -> None:
    with client_of(server) as client, pytest.raises(StoryboardUnknown, match="no storyboard has"):
        next(client.attach("f" * 32))
    assert len(server.commands) == 1


def test_attach_to_a_storyboard_that_failed_says_why(server: Any, storyboard: Storyboard) -> None:
    server.known[ID] = storyboard
    failed = Failed(panel=None, error="it was cancelled", retryable=False)
    server.scripts = [lambda *_: iter([Accepted(panels=3, portraits=0), failed])]
    with client_of(server) as client, pytest.raises(LafiError, match="it was cancelled"):
        list(client.attach(ID))


def test_queue_and_cancel(server: Any, storyboard: Storyboard) -> None:
    entry = QueueEntry(
        place=1, id="00000000", state="drawing", panels=3, sent=1, seconds=2.0, expected_seconds=9.0
    )
    server.queue, server.known[ID] = (entry,), storyboard
    said = io.StringIO()
    console = Console(file=said, width=200)
    with client_of(server) as client:
        assert client.queue() == [entry]
    assert queue(server.url, console=console) == 0
    assert "1 of 3" in said.getvalue()
    assert "9 s" in said.getvalue()
    assert cancel(ID, server.url, console=console) == 0
    assert cancel("e" * 32, server.url, console=console) == 2
    assert cancel("no id", server.url, console=console) == 2
    assert "id: no storyboard has eee" in said.getvalue()
    assert actions(server)[2:] == [("cancel", ())] * 2


def test_the_async_client_does_the_same(server: Any, storyboard: Storyboard) -> None:
    server.scripts = [breaking(server), server.scripts[0]]

    async def run() -> tuple[list[Event], list[Event], str]:
        async with AsyncStoryboardClient(server.url, retries=QUICK, timeout=20.0) as client:
            drawn = [event async for event in client.events(storyboard)]
            identifier = await client.submit(storyboard)
            attached = [event async for event in client.attach(identifier)]
            assert await client.queue() == []
            await client.cancel(identifier)
            with pytest.raises(StoryboardUnknown):
                await client.cancel("d" * 32)
            return drawn, attached, identifier

    drawn, attached, identifier = asyncio.run(run())
    assert panels_of(drawn) == panels_of(attached) == [2, 1, 0]
    assert len(identifier) == 32
    assert actions(server)[:2] == [("attach", (2,)), ("acknowledge", (0, 1, 2))]


def test_lafi_draw_writes_what_it_attaches_to(
    server: Any, storyboard: Storyboard, tmp_path: Path
) -> None:
    story = tmp_path / "story.yaml"
    story.write_text('panels: [{prompt: "a dog"}, {prompt: "a cat"}]', encoding="utf-8")
    console, said = Console(file=io.StringIO(), width=200), list[str]()
    assert submit([story], server.url, console=console, said=said.append) == 0
    assert said == [ID]
    assert attach(ID, tmp_path / "out", server.url, retries=0, console=console) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["panel_00.png", "panel_01.png"]
    assert attach("c" * 32, tmp_path, server.url, retries=0, console=console) == 2
    server.stop()
    assert attach(ID, tmp_path, server.url, retries=0, console=console) == 3


def test_a_lost_acknowledgement_is_told_with_the_next() -> None:
    now = [0.0]
    held = Held(lambda: now[0])
    held.add(ID, 1)
    assert held.due() == []
    now[0] += ACKNOWLEDGE_SECONDS
    (command,) = held.due()
    held.not_told(command)
    held.add(ID, 0)
    assert held.due() == []
    assert [each.panels for each in held.due(last=True)] == [(0, 1)]
    assert held.due(last=True) == []
    held.add("", 3)
    assert held.due(last=True) == [], "an older server gave no id"


def test_a_lost_server_is_an_error_after_all_tries(server: Any, storyboard: Storyboard) -> None:
    server.scripts = [breaking(server), lambda *_: iter(["UNAVAILABLE: gone; try again later"])]
    with client_of(server) as client, pytest.raises(ServerUnavailable, match="gone"):
        list(client.events(storyboard))
    assert server.streams == 1 + QUICK.retries
