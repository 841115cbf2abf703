"""Attach, cancel, queue and acknowledge, and what happens to storyboards when a server ends."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.shelf import Place, Places
from lafi.serving.admission import Admission
from lafi.serving.desk import Desk
from lafi.serving.job import Status
from lafi.serving.keeper import Keeper
from lafi.serving.resuming import LIVES, Resuming
from lafi.serving.service import CALLED_OFF, StoryboardService
from lafi.store.claims import Claims
from lafi.store.journal import JOURNAL_FILE, Journal
from lafi.store.panels import PanelStore, open_store
from lafi.store.record import Facts, Record
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.control import (
    Acknowledged,
    Answer,
    Cancelled,
    Command,
    Queue,
    command_to_tensors,
)
from lafi.wire.events import Accepted, Event, Failed, Finished, PanelImage, Progress, Waiting

PANEL_BYTES = 3 * 64 * 64


class Client:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.gone = False
        self.done = threading.Event()

    def send(self, event: Event | Answer) -> None:
        self.sent.append(event)

    def refuse(self, status: Status, message: str) -> None:
        self.sent.append(f"{status}: {message}")

    def finish(self) -> None:
        assert not self.done.is_set(), "the final flag was sent twice"
        self.done.set()

    def is_cancelled(self) -> bool:
        return self.gone

    def answer(self) -> list[Any]:
        assert self.done.wait(10), f"the final flag never came: {self.sent}"
        return self.sent

    def panels(self) -> list[int]:
        return [event.panel for event in self.sent if isinstance(event, PanelImage)]

    @property
    def id(self) -> str:
        (identifier,) = [event.id for event in self.sent if isinstance(event, Accepted)]
        return str(identifier)

    def until(self, is_so: Callable[["Client"], bool]) -> None:
        deadline = time.monotonic() + 10
        while not is_so(self):
            assert time.monotonic() < deadline, f"it never came: {self.sent}"
            time.sleep(0.002)


def address(board: Storyboard, index: int) -> str:
    return f"{board.panels[index].seed:064x}"


def places(board: Storyboard) -> Places:
    numbers = range(len(board.panels))
    return Places(tuple((Place(address(board, n), PANEL_BYTES),) for n in numbers), ())


class Server:
    """A desk and all behind it, with a drawer that a test holds up before each panel."""

    def __init__(self, folder: Path, *, open_gate: bool = True, **options: Any) -> None:
        most = options.pop("max_bytes", 2**20)
        self.panels: PanelStore = open_store(str(folder / "panels"), folder, max_bytes=most)
        self.journal = Journal(folder / "journal" / JOURNAL_FILE, retention=1000.0)
        self.keeper = Keeper(self.journal, self.panels, places)
        self.drawn: list[str] = []
        self.gate = threading.Semaphore(10**6 if open_gate else 0)
        self.failing: Exception | None = None
        self._claims = Claims()
        self.service = StoryboardService(
            self._draw,
            Admission(options.pop("limit", 2)),
            keeper=self.keeper,
            threads=2,
            poll_seconds=0.0,
        )
        self.desk = Desk(self.service, self.keeper)

    def receive(self, tensors: dict[str, npt.NDArray[Any]], client: Client) -> Client:
        self.desk.receive(tensors.__getitem__, client)
        return client

    def draw(self, board: Storyboard) -> Client:
        return self.receive(storyboard_to_tensors(board), Client())

    def ask(self, action: Any, identifier: str = "", panels: tuple[int, ...] = ()) -> Client:
        command = Command(action=action, id=identifier, panels=panels)
        return self.receive(command_to_tensors(command), Client())

    def end(self) -> None:
        self.service.close()
        self.keeper.close()

    def _draw(self, board: Storyboard, stopped: Callable[[], bool]) -> Iterator[Event]:
        return self._events(board, stopped)

    def _events(self, board: Storyboard, stopped: Callable[[], bool]) -> Iterator[Event]:
        yield Accepted(panels=len(board.panels), portraits=0)
        for index in range(len(board.panels)):
            owner, where = object(), address(board, index)
            while not self._claims.claim([where], owner):
                if stopped():
                    return
                time.sleep(0.002)
            kept = self.panels.get(where) is not None
            while not kept and not self.gate.acquire(timeout=0.002):
                if stopped():
                    self._claims.release([where], owner)
                    return
            if self.failing is not None:
                self._claims.release([where], owner)
                raise self.failing
            if not kept:
                yield Progress(panel=index, step=1, steps=1)
                self.drawn.append(where)
                self.panels.put(Record(Facts(address=where, seed=1), b"png"))
            self._claims.release([where], owner)
            yield PanelImage(
                panel=index, png=b"png", seed=1, prompt="", address=where, seconds=0.0, kept=kept
            )
        yield Finished(panels=len(board.panels), seconds=0.0)


def board(*seeds: int, detach: bool = False) -> Storyboard:
    panels = tuple(Panel(prompt="a house", seed=seed) for seed in seeds)
    return Storyboard(panels=panels, detach=detach)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(**options: Any) -> Server:
        started.append(Server(tmp_path, **options))
        return started[-1]

    yield start
    for server in started:
        server.end()


def test_ids_are_128_random_bits(serve: Callable[..., Server]) -> None:
    server = serve()
    clients = [server.draw(board(1)) for _ in range(2)]
    ids = {client.id for client in clients if client.answer()}
    assert len(ids) == 2
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)


def test_acknowledged_panels_may_go_and_the_storyboard_with_the_last(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    client = server.draw(board(1, 2))
    assert client.answer()[-1] == Finished(panels=2, seconds=0.0)
    pinned = server.panels.stats().pinned_bytes
    assert server.ask("acknowledge", client.id, (0,)).answer() == [
        Acknowledged(id=client.id, left=1)
    ]
    assert server.panels.stats().pinned_bytes == pinned / 2
    (answer,) = server.ask("acknowledge", client.id, (1,)).answer()
    assert answer.left == 0
    assert server.panels.stats().pinned_bytes == 0
    (told,) = server.ask("attach", client.id).answer()
    assert told.startswith(f"NOT_FOUND: id: no storyboard has {client.id}")


def test_attaching_sends_each_panel_and_draws_none_twice(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False)
    first = server.draw(board(1, 2, 3))
    server.gate.release()
    first.until(lambda client: client.panels() == [0])
    second = server.ask("attach", first.id)
    third = server.ask("attach", first.id, (0,))
    server.gate.release(10)
    for client, panels in ((first, [0, 1, 2]), (second, [0, 1, 2]), (third, [1, 2])):
        assert client.answer()[-1] == Finished(panels=3, seconds=0.0)
        assert client.panels() == panels
    assert len(server.drawn) == 3
    assert second.id == first.id


def test_watching_takes_no_place(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False, limit=1)
    first = server.draw(board(1))
    watching = server.ask("attach", first.id)
    (refused,) = server.draw(board(2)).answer()
    assert refused.startswith("UNAVAILABLE: this server draws at most 1 storyboards")
    server.gate.release()
    assert watching.answer()[-1] == Finished(panels=1, seconds=0.0)


def test_a_detached_storyboard_is_drawn_without_its_client(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False)
    client = server.draw(board(1, 2, detach=True))
    identifier = client.id
    client.gone = True
    server.gate.release(10)
    assert client.answer()
    assert len(server.drawn) == 2
    back = server.ask("attach", identifier)
    assert back.answer()[-1] == Finished(panels=2, seconds=0.0)
    assert [event.kept for event in back.sent if isinstance(event, PanelImage)] == [True, True]


def test_without_detach_a_client_that_leaves_stops_it_and_may_come_back(
    serve: Callable[..., Server],
) -> None:
    server = serve(open_gate=False)
    client = server.draw(board(1, 2))
    server.gate.release()
    client.until(lambda each: each.panels() == [0])
    client.gone = True
    client.answer()
    server.gate.release(10)
    time.sleep(0.05)
    assert len(server.drawn) == 1
    back = server.ask("attach", client.id)
    assert back.answer()[-1] == Finished(panels=2, seconds=0.0)
    assert len(server.drawn) == 2


def test_after_a_restart_the_detached_go_on_and_others_when_their_client_comes(
    serve: Callable[..., Server],
) -> None:
    server = serve(open_gate=False)
    detached, waited_for = server.draw(board(1, 2, detach=True)), server.draw(board(3, 4))
    server.gate.release()
    server.gate.release()
    detached.until(lambda _: len(server.drawn) == 2)
    server.end()
    for client in (detached, waited_for):
        (*_, last) = client.answer()
        assert isinstance(last, Failed)
        assert last.retryable
    again = serve()
    resuming = Resuming(again.service, again.keeper, look_seconds=0.01)
    detached.until(lambda _: not again.keeper.unfinished())
    resuming.close()
    drawn = {*server.drawn, *again.drawn}
    assert drawn & {f"{seed:064x}" for seed in (1, 2)} == {f"{seed:064x}" for seed in (1, 2)}
    assert f"{4:064x}" not in drawn
    for client in (detached, waited_for):
        back = again.ask("attach", client.id)
        assert back.answer()[-1] == Finished(panels=2, seconds=0.0)
        assert back.panels() == [0, 1]
    assert len(server.drawn) + len(again.drawn) == 4, "none twice"


def test_nothing_is_begun_before_everything_is_there(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False)
    server.draw(board(1, detach=True))
    server.end()
    again, ready = serve(), threading.Event()
    resuming = Resuming(again.service, again.keeper, ready.is_set, look_seconds=0.005)
    time.sleep(0.05)
    assert again.drawn == []
    ready.set()
    Client().until(lambda _: again.drawn == [f"{1:064x}"])
    resuming.close()


def test_a_storyboard_that_ends_one_server_after_another_is_given_up(
    serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(open_gate=False)
    client = server.draw(board(1, detach=True))
    for _ in range(LIVES):
        server.end()
        server = serve(open_gate=False)
        resuming = Resuming(server.service, server.keeper, look_seconds=0.005)
        client.until(lambda each, service=server.service: service.in_flight(each.id))
        resuming.close()
    server.end()
    last = serve()
    resuming = Resuming(last.service, last.keeper, look_seconds=0.005)
    client.until(lambda _: not last.keeper.unfinished())
    resuming.close()
    assert f"{LIVES} servers ended while it was drawn" in caplog.text
    assert last.drawn == []
    assert last.ask("attach", client.id).answer()[-1] == Finished(panels=1, seconds=0.0)


def test_a_passing_failure_is_tried_again_without_the_client(serve: Callable[..., Server]) -> None:
    server = serve()
    server.failing = MemoryError()
    client = server.draw(board(1, detach=True))
    assert client.answer()[-1].retryable
    server.failing = None
    resuming = Resuming(server.service, server.keeper, look_seconds=0.01)
    client.until(lambda _: server.drawn == [f"{1:064x}"])
    resuming.close()


def test_cancelling_stops_it_for_all_and_forgets_it(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False)
    client = server.draw(board(1, 2, detach=True))
    watching = server.ask("attach", client.id)
    watching.until(lambda each: bool(each.sent))
    assert server.ask("cancel", client.id).answer() == [Cancelled(id=client.id)]
    for each in (client, watching):
        assert each.answer()[-1] == Failed(panel=None, error=CALLED_OFF, retryable=False)
    (told,) = server.ask("cancel", client.id).answer()
    assert told.startswith("NOT_FOUND: ")
    assert server.drawn == []
    assert server.keeper.unfinished() == []


def test_a_storyboard_that_another_process_forgets_stops(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False)
    client = server.draw(board(1))
    server.journal.remove([client.id])
    assert client.answer()[-1] == Failed(panel=None, error=CALLED_OFF, retryable=False)


def test_the_queue_shows_places_and_no_whole_id(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False)
    first, second = server.draw(board(1, 2)), server.draw(board(3, detach=True))
    server.gate.release()
    first.until(lambda _: len(server.drawn) == 1)
    (told,) = server.ask("queue").answer()
    assert isinstance(told, Queue)
    assert [each.place for each in told.storyboards] == [1, 2]
    assert [each.id for each in told.storyboards] == [first.id[:8], second.id[:8]]
    assert [each.panels for each in told.storyboards] == [2, 1]
    assert [each.detach for each in told.storyboards] == [False, True]
    assert sorted(each.state for each in told.storyboards) == ["drawing", "waiting"]


def test_panels_that_nobody_acknowledged_leave_no_room_for_others(
    serve: Callable[..., Server],
) -> None:
    server = serve(max_bytes=PANEL_BYTES + 1000)
    client = server.draw(board(1, 2))
    (told,) = client.answer()
    assert told.startswith(f"INVALID_ARGUMENT: panels: got up to {2 * PANEL_BYTES} bytes, allowed")
    gated = board(3)
    first = server.draw(gated)
    first.answer()
    held = server.panels.stats().pinned_bytes
    server.panels.put(Record(Facts(address=f"{9:064x}", seed=1), bytes(1000)))
    (told,) = server.draw(board(4)).answer()
    assert told.startswith(f"UNAVAILABLE: the store may hold {PANEL_BYTES + 1000} bytes; panels")
    assert f"take {server.panels.stats().pinned_bytes}, " in told
    assert held > 0
    server.ask("acknowledge", first.id, (0,)).answer()
    server.panels.acknowledge([f"{9:064x}"])
    assert server.draw(board(4)).answer()[-1] == Finished(panels=1, seconds=0.0)


def test_without_a_store_detach_is_refused() -> None:
    def draw(_: Storyboard, stopped: Callable[[], bool]) -> Iterator[Event]:
        yield Waiting(pictures=0)

    service = StoryboardService(draw, Admission(1))
    client = Client()
    Desk(service, None).receive(storyboard_to_tensors(board(1, detach=True)).__getitem__, client)
    assert client.answer() == [
        "INVALID_ARGUMENT: detach: got True, allowed: false: this server keeps no panels "
        "(lafi serve --store)"
    ]
    service.close()


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (b'{"action": "attack"}', "action: got 'attack', allowed: attach, cancel, queue, ackn"),
        (b'{"action": "cancel"}', "id: got '', allowed: 32 digits, of an accepted one"),
        (b'{"action": "attach", "id": "abc"}', "id: got 'abc', allowed: "),
        (b'{"action": "queue", "what": 1}', "what: unknown field, allowed: action, id, panels"),
    ],
)
def test_a_bad_command_is_named(serve: Callable[..., Server], command: bytes, line: str) -> None:
    tensor = np.array([command], dtype=object)
    (told,) = serve().receive({"STORYBOARD": tensor}, Client()).answer()
    assert told.startswith(f"INVALID_ARGUMENT: {line}")
