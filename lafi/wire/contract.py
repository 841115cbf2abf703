"""Encodes storyboards and events as tensors, and decodes them.

BYTES tensors are numpy object arrays of `bytes`. Imports neither torch nor a server.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lafi.board.error import StoryboardError, Verbatim, problem, shown
from lafi.board.file import decode_utf8, parse_json
from lafi.board.given_fields import given_fields
from lafi.board.image_file import DecodePicture, ImageFileError, decode, read_header
from lafi.board.limits import MAX_FILE_BYTES, MAX_PANELS, MAX_PICTURES
from lafi.board.picture_slots import PictureSlot, picture_slots, put_pictures
from lafi.board.storyboard import Storyboard
from lafi.wire.events import (
    EVENT_OF_KIND,
    Event,
    EventModel,
    Latents,
    PanelImage,
    Portrait,
    Preview,
)
from lafi.wire.model_spec import (
    EVENT,
    IMAGE,
    REFERENCES,
    STORYBOARD,
    bytes_tensor,
)
from lafi.wire.picture_names import (
    FindPicture,
    NamePicture,
    UnknownPicturesError,
    is_picture_name,
)

Tensors = dict[str, npt.NDArray[Any]]
_YAML = re.compile(r"(?:\s*(?:---|#[^\n]*\n))*\s*[A-Za-z_]+[ \t]*:(?:\s|$)")
"""How a storyboard in YAML begins: comments, then a field."""
_JSON_ALLOWED = "JSON; a file of YAML is read by lafi draw, or by load_storyboard of the client"
WITH_PICTURE = (PanelImage, Portrait, Preview)
"""The events with a PNG file in IMAGE."""


def storyboard_to_tensors(storyboard: Storyboard, name: NamePicture = lambda data: None) -> Tensors:
    """STORYBOARD (1,), and REFERENCES (n,): its different pictures, then latents.

    Fields that are unset are left out, so that the server's default recipe may set them.
    name: what stands for a picture that the server has.
    """
    document = given_fields(storyboard)
    places: dict[bytes, int] = {}
    for slot in picture_slots(document):
        if isinstance(slot.value, dict):
            slot.holder[slot.key] = places.setdefault(slot.value["data"], len(places))
    elements = [name(data) or data for data in places]
    for resume in _resumes(document):
        resume["data"] = places.setdefault(resume["data"], len(places))
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return {
        STORYBOARD: bytes_tensor(text.encode()),
        REFERENCES: bytes_tensor(*([*elements, *[*places][len(elements) :]] or [b""])),
    }


def storyboard_from_tensors(
    storyboard: npt.NDArray[Any],
    references: npt.NDArray[Any],
    find: FindPicture = lambda name: None,
    decode: DecodePicture = decode,
) -> Storyboard:
    """The storyboard in STORYBOARD and REFERENCES. find: pictures that are named.

    decode: what decodes its pictures, once somebody needs their pixels. Raises `StoryboardError`,
    and UnknownPicturesError for names without a picture.
    """
    document = _json(STORYBOARD, storyboard)
    images = _found(_elements(REFERENCES, references, MAX_PICTURES + MAX_PANELS), find)
    problems = _put_references(document, [] if images == [b""] else images, decode)
    try:
        made = Storyboard.model_validate(document)
    except StoryboardError as error:
        problems += error.problems
    if problems:
        raise StoryboardError(problems)
    return made


def _found(elements: list[bytes], find: FindPicture) -> list[bytes]:
    """The elements, with the pictures in place of names."""
    named = {each: find(each) for each in elements if is_picture_name(each)}
    if unknown := [name for name, data in named.items() if data is None]:
        raise UnknownPicturesError(unknown)
    return [named.get(each) or each for each in elements]


def _put_references(document: Any, images: list[bytes], decode: DecodePicture) -> list[str]:
    """Put each image into the slots that name its index. Returns a line per refused image."""
    used: set[int] = set()

    def find(slot: PictureSlot) -> bytes | None:
        place = slot.value
        if place is None or slot.bare:
            return None
        if type(place) is not int or not 0 <= place < len(images):
            allowed = f"a place in REFERENCES, which has {len(images)}, or null"
            raise ImageFileError(shown(place), allowed)
        used.add(place)
        return images[place]

    problems = put_pictures(document, find, decode)
    for resume in _resumes(document):
        place = resume.get("data")
        if type(place) is int and 0 <= place < len(images):
            used.add(place)
            resume["data"] = images[place]
    if len(used) != len(images) and not problems:
        allowed = f"{len(used)}, those that the storyboard refers to"
        problems.append(problem(REFERENCES, Verbatim(f"{len(images)} images"), allowed))
    return problems


def _resumes(document: Any) -> Iterator[dict[str, Any]]:
    """The mappings `resume` of panels."""
    panels = document.get("panels") if isinstance(document, dict) else None
    for panel in panels if isinstance(panels, list | tuple) else ():
        if isinstance(panel, dict) and isinstance(panel.get("resume"), dict):
            yield panel["resume"]


def event_to_tensors(event: EventModel) -> Tensors:
    """EVENT (1,), JSON, and IMAGE (1,), a PNG file, what `latents` carries, or empty."""
    image = b""
    if isinstance(event, WITH_PICTURE):
        image = event.png
    elif isinstance(event, Latents):
        image = event.data
    return {EVENT: bytes_tensor(event.model_dump_json().encode()), IMAGE: bytes_tensor(image)}


def event_from_tensors(event: npt.NDArray[Any], image: npt.NDArray[Any]) -> Event | None:
    """The event in EVENT and IMAGE; None for an unknown kind of event.

    Unknown fields and unexpected pictures are ignored. Raises `StoryboardError`.
    """
    document = _json(EVENT, event)
    (png,) = _elements(IMAGE, image, 1)
    if not isinstance(document, dict):
        raise StoryboardError([problem(EVENT, document, "a mapping with kind")])
    kind = document.get("kind")
    if not isinstance(kind, str):
        raise StoryboardError([problem(f"{EVENT}.kind", kind, ", ".join(EVENT_OF_KIND))])
    made = EVENT_OF_KIND.get(kind)
    if made is None:
        return None
    if made in WITH_PICTURE:
        _check_png(png)
        document = {**document, "png": png}
    elif made is Latents:
        document = {**document, "data": png}
    try:
        return made.model_validate(document)
    except StoryboardError as error:
        raise StoryboardError(f"{EVENT}.{line}" for line in error.problems) from None


def _check_png(png: bytes) -> None:
    try:
        header = read_header(png)
    except ImageFileError as refused:
        raise StoryboardError([problem(IMAGE, refused.got, "a PNG image")]) from None
    if header.format != "PNG":
        raise StoryboardError([problem(IMAGE, Verbatim(f"a {header.format} image"), "a PNG image")])


def _json(name: str, tensor: npt.NDArray[Any]) -> Any:
    (raw,) = _elements(name, tensor, 1)
    if len(raw) > MAX_FILE_BYTES:
        raise StoryboardError([problem(name, raw, f"at most {MAX_FILE_BYTES} bytes of JSON")])
    text = decode_utf8(raw, name)
    try:
        return parse_json(text)
    except StoryboardError as error:
        if _YAML.match(text):
            raise StoryboardError([problem(name, Verbatim("YAML"), _JSON_ALLOWED)]) from None
        lines = (line if line.startswith(name) else f"{name}: {line}" for line in error.problems)
        raise StoryboardError(lines) from None


def _elements(name: str, tensor: npt.NDArray[Any], most: int) -> list[bytes]:
    """The elements of a BYTES tensor (n,), 1 <= n <= most."""
    array = np.asarray(tensor)
    if array.dtype != object:
        raise StoryboardError([problem(name, Verbatim(f"dtype {array.dtype}"), "BYTES")])
    if array.ndim != 1 or not 1 <= array.size <= most:
        allowed = "shape (1,)" if most == 1 else f"shape (n,), n from 1 to {most}"
        raise StoryboardError([problem(name, Verbatim(f"shape {array.shape}"), allowed)])
    elements: list[bytes] = array.tolist()
    for element in elements:
        if not isinstance(element, bytes):
            raise StoryboardError([problem(name, element, "bytes")])
    return elements
