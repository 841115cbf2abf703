"""A large picture is sent once to a server that keeps it, and named from then on."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from quick_clients import async_client_of, client_of

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.wire.picture_names import NAMED_BYTES, picture_name
from lafi_client.errors import PicturesUnknown


def noise(seed: int, side: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


LARGE, OTHER, SMALL = noise(1, 200), noise(2, 200), noise(3, 16)
Draw = Callable[[Any, list[Storyboard], Callable[[int], None]], None]


def board(*pictures: bytes) -> Storyboard:
    cast = tuple(
        Character(name=f"c{place}", prompt="a girl", reference=picture)
        for place, picture in enumerate(pictures)
    )
    return Storyboard(characters=cast, panels=(Panel(prompt="{c0}", seed=1),))


def in_turn(server: Any, boards: list[Storyboard], before: Callable[[int], None]) -> None:
    with client_of(server) as client:
        for place, each in enumerate(boards):
            before(place)
            assert len(client.draw_all(each)) == 1


def in_turn_async(server: Any, boards: list[Storyboard], before: Callable[[int], None]) -> None:
    async def run() -> None:
        async with async_client_of(server) as client:
            for place, each in enumerate(boards):
                before(place)
                assert len(await client.draw_all(each)) == 1

    asyncio.run(run())


@pytest.fixture(params=[in_turn, in_turn_async])
def drawn(request: pytest.FixtureRequest) -> Draw:
    draw: Draw = request.param
    return draw


def test_a_large_picture_is_sent_once(server: Any, drawn: Draw) -> None:
    assert len(SMALL) < NAMED_BYTES <= len(LARGE)
    server.keeps_pictures = True
    boards = [board(LARGE, SMALL), board(LARGE, SMALL), board(OTHER, LARGE)]
    drawn(server, boards, lambda place: None)
    name = picture_name(LARGE)
    assert server.sent == [[LARGE, SMALL], [name, SMALL], [OTHER, name]]
    assert server.received == boards


def test_a_server_that_keeps_none_gets_the_bytes_each_time(server: Any, drawn: Draw) -> None:
    drawn(server, [board(LARGE)] * 2, lambda place: None)
    assert server.sent == [[LARGE]] * 2


def test_a_picture_that_was_let_go_is_sent_again(server: Any, drawn: Draw) -> None:
    server.keeps_pictures = True
    drawn(server, [board(LARGE)] * 3, lambda place: server.pictures.clear() if place == 1 else None)
    name = picture_name(LARGE)
    assert server.sent == [[LARGE], [name], [LARGE], [name]]
    assert server.received == [board(LARGE)] * 3


def test_a_server_that_does_not_know_what_it_was_sent_is_not_asked_for_ever(server: Any) -> None:
    name = picture_name(LARGE)
    text = f"NOT_FOUND: pictures: got {name.decode()}, not kept here (any more); send their bytes"
    server.scripts = [lambda storyboard, context: iter([text])]
    with (
        client_of(server) as client,
        pytest.raises(PicturesUnknown) as error,
    ):
        client.draw_all(board(LARGE))
    assert error.value.names == {name}
    assert server.streams == 1
