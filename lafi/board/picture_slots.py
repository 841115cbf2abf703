"""Finds the places for pictures in a storyboard's plain data, for files and for the wire.

They are a character's `reference`, `from` and `mask` of a stage, and `image` of a control, of a
picture prompt and of a further reference. Knows neither files nor tensors: the caller knows what
the value in a slot means.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lafi.board import image_file
from lafi.board.error import problem
from lafi.board.image_file import DecodePicture, ImageFileError
from lafi.board.reference_image import ReferenceImage

_MISSING = ReferenceImage.model_construct(data=b"")
"""Replaces a refused picture, so that its absence causes no second error."""


@dataclass(frozen=True, slots=True)
class PictureSlot:
    """A place for a picture: `holder[key]`, called `field` in errors.

    `bare`: the slot is the `from` or `mask` of a stage itself, which may also hold a number or a
    list; any other slot holds only a picture.
    """

    field: str
    holder: dict[Any, Any]
    key: str
    bare: bool = False

    @property
    def value(self) -> Any:
        """The current value."""
        return self.holder[self.key]


def picture_slots(document: Any) -> Iterator[PictureSlot]:
    """All slots in a storyboard's data, even if it is invalid; characters come first."""
    for field, character in _entries(document, "characters"):
        if "reference" in character:
            yield PictureSlot(f"{field}.reference", character, "reference")
    yield from _sampling_slots("sampling", document)
    for field, panel in _entries(document, "panels"):
        yield from _sampling_slots(f"{field}.sampling", panel)
        for key in ("control", "picture_prompts", "references"):
            for name, entry in _entries(panel, key, field):
                if "image" in entry:
                    yield PictureSlot(f"{name}.image", entry, "image")


def put_pictures(
    document: Any,
    find: Callable[[PictureSlot], bytes | None],
    decode: DecodePicture = image_file.decode,
) -> list[str]:
    """Put the picture that `find` returns for a slot into it. Returns a line per refused picture.

    `find` returns None to leave a slot unchanged, and may raise `ImageFileError`. Bytes that
    several slots share are one picture. decode: what decodes it, once that is asked for.
    """
    checked: dict[bytes, ReferenceImage | ImageFileError] = {}
    problems = []
    for slot in picture_slots(document):
        try:
            data = find(slot)
            if data is None:
                continue
            if data not in checked:
                checked[data] = _checked(data, decode)
            picture = checked[data]
            if isinstance(picture, ImageFileError):
                raise picture
        except ImageFileError as refused:
            problems.append(problem(slot.field, refused.got, refused.allowed))
            picture = _MISSING
        slot.holder[slot.key] = picture
    return problems


def _checked(data: bytes, decode: DecodePicture) -> ReferenceImage | ImageFileError:
    try:
        return ReferenceImage.of_file(data, decode)
    except ImageFileError as refused:
        return refused


def _sampling_slots(field: str, owner: Any) -> Iterator[PictureSlot]:
    """The slots in `owner["sampling"]`, in its short form or with a list of stages."""
    sampling = owner.get("sampling") if isinstance(owner, dict) else None
    if isinstance(sampling, dict):
        yield from _stage_slots(field, sampling)
        for name, stage in _entries(sampling, "stages", field):
            yield from _stage_slots(name, stage)


def _stage_slots(field: str, stage: dict[Any, Any]) -> Iterator[PictureSlot]:
    for key in ("from", "mask"):
        value = stage.get(key)
        if isinstance(value, dict):
            if "image" in value:
                yield PictureSlot(f"{field}.{key}.image", value, "image")
        elif value is not None:
            yield PictureSlot(f"{field}.{key}", stage, key, bare=True)


def _entries(owner: Any, key: str, above: str = "") -> Iterator[tuple[str, dict[Any, Any]]]:
    """The mappings in the list `owner[key]`, each with its field's name."""
    entries = owner.get(key) if isinstance(owner, dict) else None
    prefix = f"{above}.{key}" if above else key
    for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
        if isinstance(entry, dict):
            yield f"{prefix}[{index}]", entry
