"""A client of several servers: which is asked, and a storyboard that outlives one of them."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fake_triton import FakeTritonServer, panel_event, well
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.storyboard import Panel, Storyboard
from lafi.wire.events import Accepted, Event, Finished
from lafi_client import StoryboardClient, StoryboardUnknown
from lafi_client.aio import AsyncStoryboardClient
from lafi_client.retry import RetryPolicy
from lafi_client.servers import AVOID_SECONDS, Servers, addresses

STORYBOARD = Storyboard(panels=tuple(Panel(prompt="a house", seed=seed) for seed in range(4)))
QUICK = RetryPolicy(5, first_delay=0.0)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("a:1", ("a:1",)),
        ("a:1, b:2", ("a:1", "b:2")),
        (["a:1", "grpcs://b:2"], ("a:1", "grpcs://b:2")),
    ],
)
def test_addresses(url: str | list[str], found: tuple[str, ...]) -> None:
    assert addresses(url) == found


@pytest.mark.parametrize("url", ["a:1,a:1", [], "a:1,"])
def test_bad_addresses_are_named(url: str | list[str]) -> None:
    with pytest.raises(ValueError, match="url: got"):
        StoryboardClient(url)


@given(
    count=st.integers(1, 5),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0.0, 2 * AVOID_SECONDS)), max_size=40),
)
def test_one_that_failed_lately_is_asked_only_where_all_did(
    count: int, steps: list[tuple[bool, float]]
) -> None:
    now = 0.0
    servers = Servers(range(count), clock=lambda: now)
    failed = dict.fromkeys(range(count), float("-inf"))
    for fails, wait in steps:
        chosen = servers.next()
        late = {each for each, when in failed.items() if now - when <= AVOID_SECONDS}
        assert chosen not in late or len(late) == count
        if len(late) == count:
            assert failed[chosen] == min(failed.values())
        if fails:
            servers.failed(chosen)
            failed[chosen] = now
        now += wait


@given(count=st.integers(1, 5), rounds=st.integers(1, 4))
def test_storyboards_go_round(count: int, rounds: int) -> None:
    servers = Servers(range(count))
    asked = [servers.next() for _ in range(count * rounds)]
    assert all(asked.count(each) == rounds for each in range(count))


@pytest.fixture
def pair() -> Iterator[tuple[FakeTritonServer, FakeTritonServer]]:
    servers = (FakeTritonServer(), FakeTritonServer())
    for number, server in enumerate(servers):
        server.ids = True
        server.streams = 100 * number  # so that no id is of both
    yield servers
    for server in servers:
        server.stop()


def dies_after(count: int, server: FakeTritonServer) -> Callable[..., Iterator[Event]]:
    """Draws so many panels; then nobody answers any more."""

    def script(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        yield Accepted(panels=len(storyboard.panels), portraits=0)
        for number in range(count):
            yield panel_event(storyboard, number)
        server.live = False
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    return script


def drawn_by(kind: str, urls: str) -> list[int]:
    """Numbers of the panels as they come."""
    if kind == "sync":
        with StoryboardClient(urls, retries=QUICK) as client:
            return [panel.panel for panel in client.draw(STORYBOARD)]

    async def draw() -> list[int]:
        async with AsyncStoryboardClient(urls, retries=QUICK) as client:
            return [panel.panel async for panel in client.draw(STORYBOARD)]

    return asyncio.run(draw())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_storyboard_is_finished_elsewhere_when_its_server_dies(
    pair: tuple[FakeTritonServer, FakeTritonServer], kind: str
) -> None:
    first, second = pair
    first.scripts = [dies_after(2, first)]
    numbers = drawn_by(kind, f"{first.url},{second.url}")
    assert sorted(numbers) == [0, 1, 2, 3], "each panel once"
    assert [len(board.panels) for board in second.received] == [2], "only what was missing"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_who_takes_no_more_is_left_for_the_next(
    pair: tuple[FakeTritonServer, FakeTritonServer], kind: str
) -> None:
    first, second = pair
    first.scripts = [lambda *_: iter(["UNAVAILABLE: 16 are in flight; try again later"])]
    assert sorted(drawn_by(kind, f"{first.url},{second.url}")) == [0, 1, 2, 3]
    assert len(second.received) == 1


def test_storyboards_are_spread_and_each_is_acknowledged_where_it_was_accepted(
    pair: tuple[FakeTritonServer, FakeTritonServer],
) -> None:
    with StoryboardClient([server.url for server in pair]) as client:
        for _ in range(4):
            client.draw_all(STORYBOARD)
    for server in pair:
        assert len(server.received) == 2
        acknowledged = {each.id for each in server.commands if each.action == "acknowledge"}
        assert acknowledged == {*server.known}


def test_an_id_is_found_on_any_of_them(pair: tuple[FakeTritonServer, FakeTritonServer]) -> None:
    with StoryboardClient(pair[1].url) as alone:
        identifier = alone.submit(STORYBOARD)
    for order in (pair, pair[::-1]):
        with StoryboardClient([server.url for server in order], retries=QUICK) as client:
            events: list[Any] = list(client.attach(identifier))
            assert isinstance(events[-1], Finished)
            client.cancel(identifier)
            with pytest.raises(StoryboardUnknown):
                list(client.attach(f"{1:032x}"))
            with pytest.raises(StoryboardUnknown):
                client.cancel(f"{1:032x}")
    cancelled = [each.id for each in pair[1].commands if each.action == "cancel"]
    assert cancelled.count(identifier) == 2


def test_a_server_that_nobody_runs_is_no_obstacle(
    pair: tuple[FakeTritonServer, FakeTritonServer],
) -> None:
    first, second = pair
    first.stop()
    second.scripts = [well]
    assert sorted(drawn_by("sync", f"{first.url},{second.url}")) == [0, 1, 2, 3]
