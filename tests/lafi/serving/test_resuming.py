"""What happens to storyboards when a server ends, and in its next life."""

import threading
import time
from collections.abc import Callable

import pytest
from desk_server import Client, Server, board

from lafi.serving.resuming import LIVES, Resuming
from lafi.wire.events import Failed, Finished


def test_after_a_restart_the_detached_go_on_and_others_when_their_client_comes(
    serve: Callable[..., Server],
) -> None:
    server = serve(open_gate=False)
    detached, waited_for = server.draw(board(1, 2, 3, detach=True)), server.draw(board(4, 5, 6))
    # Either may draw both: with three panels neither ends.
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
    assert drawn >= {f"{seed:064x}" for seed in (1, 2, 3)}
    assert f"{6:064x}" not in drawn
    for client in (detached, waited_for):
        back = again.ask("attach", client.id)
        assert back.answer()[-1] == Finished(panels=3, seconds=0.0)
        assert back.panels() == [0, 1, 2]
    assert len(server.drawn) + len(again.drawn) == 6, "none twice"


def test_nothing_is_begun_before_everything_is_there(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False)
    assert server.draw(board(1, detach=True)).id
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
    assert client.id
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
