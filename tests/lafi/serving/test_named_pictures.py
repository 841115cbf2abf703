"""Pictures that were sent once are drawn from by their names, and only by these."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from desk_server import Client, Server
from PIL import Image

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Accepted, Finished
from lafi.wire.picture_names import NAMED_BYTES, picture_name, unknown_names


def noise(seed: int, side: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


LARGE, SMALL = noise(1, 200), noise(2, 16)


def board(picture: bytes) -> Storyboard:
    mia = Character(name="mia", prompt="a girl", reference=picture)
    return Storyboard(characters=(mia,), panels=(Panel(prompt="{mia}", seed=1),))


def named(server: Server, picture: bytes, name: bytes | None = None) -> Client:
    instead = picture_name(picture) if name is None else name
    return server.receive(storyboard_to_tensors(board(picture), lambda data: instead), Client())


def test_a_picture_that_was_accepted_may_be_named(serve: Callable[..., Server]) -> None:
    server = serve()
    first = server.draw(board(LARGE)).answer()
    assert isinstance(first[0], Accepted)
    assert first[0].keeps_pictures
    drawn = named(server, LARGE)
    assert drawn.answer()[-1] == Finished(panels=1, seconds=0.0)
    kept = server.keeper.storyboard(drawn.id)
    assert kept is not None
    assert kept.characters == board(LARGE).characters


@pytest.mark.parametrize("picture", [LARGE, SMALL])
def test_a_name_that_is_not_known_is_told_and_takes_no_place(
    serve: Callable[..., Server], picture: bytes
) -> None:
    """A small picture is never kept: it is sent each time."""
    assert len(SMALL) < NAMED_BYTES <= len(LARGE)
    server = serve(limit=1)
    if picture is SMALL:
        server.draw(board(SMALL)).answer()
    for _ in range(3):
        (told,) = named(server, picture).answer()
        status, _, text = told.partition(": ")
        assert status == "NOT_FOUND"
        assert unknown_names(text) == {picture_name(picture)}
    assert server.draw(board(picture)).answer()[-1] == Finished(panels=1, seconds=0.0)


def test_a_refused_storyboards_picture_is_not_kept(serve: Callable[..., Server]) -> None:
    server = serve(max_bytes=1)
    (told,) = server.draw(board(LARGE)).answer()
    assert told.startswith("INVALID_ARGUMENT")
    assert server.pictures.size() == 0


def test_the_hash_of_a_file_does_not_give_it_out(serve: Callable[..., Server]) -> None:
    server = serve()
    server.draw(board(LARGE)).answer()
    guess = b"picture:" + hashlib.sha256(LARGE).hexdigest().encode()
    (told,) = named(server, LARGE, guess).answer()
    assert told.startswith("NOT_FOUND: pictures: got picture:")


def test_a_forgotten_picture_is_not_known_any_more(serve: Callable[..., Server]) -> None:
    server = serve()
    server.draw(board(LARGE)).answer()
    server.pictures.forget(hashlib.sha256(LARGE).hexdigest())
    (told,) = named(server, LARGE).answer()
    assert told.startswith("NOT_FOUND: pictures:")
