"""Encodes and decodes requests and answers of the models `identity` and `identity_enrolment`.

BYTES tensors are numpy object arrays of `bytes`. Imports neither torch nor a server.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, cast, get_args

import numpy as np
import numpy.typing as npt

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.wire.model_spec import (
    ACTION,
    CHARACTER,
    DESCRIPTION,
    EMBEDDING,
    IMAGE,
    IMAGES,
    PICTURES,
    SCORE,
    bytes_tensor,
)

Action = Literal["enrol", "forget"]
IDENTITY: Final = "identity"
ENROLMENT: Final = "identity_enrolment"

Tensors = Mapping[str, npt.NDArray[Any]]


class Identified(NamedTuple):
    """The character in a picture.

    character  a name, or "" if unknown
    score      cosine to the nearest enrolled picture, fused with the character's description if it
               has one; -1 to 1, and -1 if no character is enrolled
    embedding  (D,) float32 of unit length
    """

    character: str
    score: float
    embedding: npt.NDArray[np.float32]


class Enrolment(NamedTuple):
    """A request to `identity_enrolment`; `forget` has neither images nor a description."""

    action: Action
    character: str
    images: tuple[bytes, ...] = ()
    description: str = ""


def image_to_tensors(image: bytes) -> dict[str, npt.NDArray[Any]]:
    """IMAGE (1, 1), a batch of one image file."""
    return {IMAGE: bytes_tensor(image).reshape(1, 1)}


def identified_from_tensors(outputs: Tensors) -> Identified:
    """The first row of EMBEDDING, CHARACTER and SCORE."""
    name = outputs[CHARACTER].reshape(-1)[0]
    score = float(outputs[SCORE].reshape(-1)[0])
    return Identified(bytes(name).decode(), score, np.array(outputs[EMBEDDING][0]))


def enrolment_to_tensors(enrolment: Enrolment) -> dict[str, npt.NDArray[Any]]:
    """ACTION, CHARACTER (1,) and IMAGES (n,), with one empty element if there are no images.

    DESCRIPTION (1,) is left out if empty, because older servers have no such input.
    """
    tensors = {
        ACTION: bytes_tensor(enrolment.action.encode()),
        CHARACTER: bytes_tensor(enrolment.character.encode()),
        IMAGES: bytes_tensor(*(enrolment.images or (b"",))),
    }
    if enrolment.description:
        tensors[DESCRIPTION] = bytes_tensor(enrolment.description.encode())
    return tensors


def enrolment_from_tensors(inputs: Tensors) -> Enrolment:
    """The request in ACTION, CHARACTER, IMAGES and the optional DESCRIPTION.

    Raises StoryboardError for values that are not allowed.
    """
    action = _text(ACTION, inputs[ACTION])
    if action not in get_args(Action):
        raise StoryboardError([problem(ACTION, action, ", ".join(get_args(Action)))])
    images = tuple(inputs[IMAGES].reshape(-1).tolist())
    if images == (b"",):
        images = ()
    if action == "forget" and images:
        got = Verbatim(f"{len(images)} images")
        raise StoryboardError([problem(IMAGES, got, "one empty element to forget a character")])
    description = _text(DESCRIPTION, inputs[DESCRIPTION]) if DESCRIPTION in inputs else ""
    if action == "forget" and description:
        raise StoryboardError([problem(DESCRIPTION, description, "nothing to forget a character")])
    name = _text(CHARACTER, inputs[CHARACTER])
    return Enrolment(cast(Action, action), name, images, description)


def pictures_to_tensors(count: int) -> tuple[npt.NDArray[Any], ...]:
    """PICTURES (1,)."""
    return (np.array([count], dtype=np.int64),)


def pictures_from_tensors(outputs: Tensors) -> int:
    """The number in PICTURES."""
    return int(outputs[PICTURES].reshape(-1)[0])


def _text(name: str, tensor: npt.NDArray[Any]) -> str:
    (raw,) = tensor.reshape(-1).tolist()
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        raise StoryboardError([problem(name, raw, "UTF-8 text")]) from None
