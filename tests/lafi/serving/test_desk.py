"""Attach, cancel, queue and acknowledge."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from desk_server import PANEL_BYTES, Client, Server, board

from lafi.board.storyboard import Storyboard
from lafi.serving.admission import Admission
from lafi.serving.desk import Desk
from lafi.serving.service import CALLED_OFF, StoryboardService
from lafi.store.record import Facts, Record
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.control import Acknowledged, Cancelled, Queue
from lafi.wire.events import Event, Failed, Finished, PanelImage, Waiting


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
    first = server.draw(board(1, 2))
    assert first.id
    second = server.draw(board(3, 4, detach=True))
    assert second.id
    server.gate.release()
    first.until(lambda _: len(server.drawn) == 1)
    (told,) = server.ask("queue").answer()
    assert isinstance(told, Queue)
    assert [each.place for each in told.storyboards] == [1, 2]
    assert [each.id for each in told.storyboards] == [first.id[:8], second.id[:8]]
    assert [each.panels for each in told.storyboards] == [2, 2]
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


def test_a_journal_that_fails_ends_no_drawing(
    serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(open_gate=False)
    client = server.draw(board(1))
    assert client.id
    server.journal.close()
    time.sleep(1.1)
    server.gate.release()
    assert client.answer()[-1] == Finished(panels=1, seconds=0.0)
    assert "the journal could not be kept up to date" in caplog.text
