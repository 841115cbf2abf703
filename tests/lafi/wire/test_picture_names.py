"""A storyboard with names in place of pictures, and which names there are."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.checks import pictures_of
from lafi.board.storyboard import Storyboard
from lafi.wire.contract import storyboard_from_tensors, storyboard_to_tensors
from lafi.wire.picture_names import UnknownPicturesError, picture_name, unknown_names


@settings(deadline=None, max_examples=40)
@given(st.from_type(Storyboard), st.data())
def test_a_storyboard_with_named_pictures_is_the_same(
    board: Storyboard, data: st.DataObject
) -> None:
    whole = [*{picture.data: None for _, picture in pictures_of(board)}]
    known = {picture_name(each): each for each in whole if data.draw(st.booleans())}
    tensors = storyboard_to_tensors(
        board, lambda each: name if (name := picture_name(each)) in known else None
    )
    sent = tensors["REFERENCES"].tolist()
    assert not {*known.values()} & {*sent}
    assert storyboard_from_tensors(tensors["STORYBOARD"], tensors["REFERENCES"], known.get) == board
    if known:
        with pytest.raises(UnknownPicturesError, match="send their bytes") as error:
            storyboard_from_tensors(tensors["STORYBOARD"], tensors["REFERENCES"])
        assert unknown_names(str(error.value)) == {*known}


def test_the_hash_that_panels_carry_is_no_name() -> None:
    """Else who has a panel could draw from the picture behind it."""
    picture = b"the bytes of a file"
    assert hashlib.sha256(picture).hexdigest().encode() not in picture_name(picture)
