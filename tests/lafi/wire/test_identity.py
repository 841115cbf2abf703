"""Enrolments and answers as tensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.wire.identity import (
    Enrolment,
    enrolment_from_tensors,
    enrolment_to_tensors,
    identified_from_tensors,
    image_to_tensors,
    pictures_from_tensors,
    pictures_to_tensors,
)
from lafi.wire.model_spec import bytes_tensor, enrolment_spec

IMAGES = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4).map(tuple)
ENROLMENTS = st.one_of(
    st.builds(
        Enrolment,
        st.just("enrol"),
        st.text(max_size=10),
        st.just(()) | IMAGES,
        st.text(max_size=10),
    ),
    st.builds(Enrolment, st.just("forget"), st.text(max_size=10), st.just(()), st.just("")),
)


@given(ENROLMENTS)
def test_an_enrolment_survives_the_wire(enrolment: Enrolment) -> None:
    tensors = enrolment_to_tensors(enrolment)
    required = [spec.name for spec in enrolment_spec().inputs if not spec.optional]
    assert list(tensors) == required + ["DESCRIPTION"] * bool(enrolment.description)
    assert all(tensor.ndim == 1 and tensor.dtype == object for tensor in tensors.values())
    assert enrolment_from_tensors(tensors) == enrolment


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ACTION", b"drop", "ACTION: got 'drop', allowed: enrol, forget"),
        ("ACTION", b"\xff", "ACTION: got 1 bytes, allowed: UTF-8 text"),
        ("CHARACTER", b"\xff", "CHARACTER: got 1 bytes, allowed: UTF-8 text"),
        ("IMAGES", b"png", "IMAGES: got 1 images, allowed: one empty element"),
        ("DESCRIPTION", b"red hair", "DESCRIPTION: got 'red hair', allowed: nothing to forget"),
        ("DESCRIPTION", b"\xff", "DESCRIPTION: got 1 bytes, allowed: UTF-8 text"),
    ],
)
def test_what_is_not_allowed_is_said(name: str, value: bytes, message: str) -> None:
    tensors = enrolment_to_tensors(Enrolment("forget", "mia", ()))
    tensors[name] = bytes_tensor(value)
    with pytest.raises(StoryboardError) as refused:
        enrolment_from_tensors(tensors)
    assert str(refused.value).startswith(message)


def test_a_description_may_be_left_out() -> None:
    tensors = enrolment_to_tensors(Enrolment("enrol", "mia", (b"png",)))
    assert enrolment_from_tensors(tensors | {"DESCRIPTION": bytes_tensor(b"")}).description == ""
    assert enrolment_from_tensors(tensors) == Enrolment("enrol", "mia", (b"png",))
    assert [spec.name for spec in enrolment_spec().inputs if spec.optional] == ["DESCRIPTION"]


def test_answers_are_read() -> None:
    (pictures,) = pictures_to_tensors(3)
    assert (pictures.shape, pictures.dtype) == ((1,), np.int64)
    assert pictures_from_tensors({"PICTURES": pictures}) == 3
    found = identified_from_tensors(
        {
            "EMBEDDING": np.array([[0.6, 0.8]], np.float32),
            "CHARACTER": bytes_tensor(b"mia").reshape(1, 1),
            "SCORE": np.array([[0.5]], np.float32),
        }
    )
    assert (found.character, found.score, found.embedding.shape) == ("mia", 0.5, (2,))
    assert image_to_tensors(b"png")["IMAGE"].tolist() == [[b"png"]]
