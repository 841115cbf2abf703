"""Recognises characters: they are enrolled by pictures, without training, and found again.

A description of a character can help. Knows image files and names, not requests or Triton Server.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from lafi.board import image_file
from lafi.board.error import problem
from lafi.board.image_file import DecodePicture
from lafi.board.letterbox import fit
from lafi.board.limits import MAX_PROMPT_BYTES, NAME_ALLOWED, OptionalText, character_name
from lafi.identity.enrolment_database import EnrolmentDatabase
from lafi.identity.enrolments import EnrolmentError, Match
from lafi.model.recogniser_files import DESCRIBER
from lafi.ports.recogniser import Embeddings, Recogniser

_log = logging.getLogger(__name__)
_LINE: Final[TypeAdapter[str]] = TypeAdapter(OptionalText)

MAX_IMAGES: Final = 16
"""The most pictures in one call of `enrol`; call it again for more."""


class Identity:
    """A recogniser with the characters enrolled for it.

    A character's score is the cosine to the nearest of its pictures, not to their mean: the
    threshold was measured on pairs of pictures, an enrolled picture is found with score 1, and
    one odd picture of a character does not make the others worse. If a character has a
    description too, it is added to the score by late fusion (`Enrolments.nearest`).
    """

    def __init__(
        self,
        recogniser: Recogniser,
        database: EnrolmentDatabase,
        describe: Callable[[Sequence[str]], Embeddings] | None = None,
        decode: DecodePicture = image_file.decode,
    ) -> None:
        """describe: the recogniser's text tower; without one, descriptions are refused.

        decode: what decodes pictures' files.
        """
        self._decode = decode
        self.recogniser = recogniser
        self._database = database
        self._describe = describe
        describer = recogniser.info.describer
        self._weight = 0.0 if describer is None else describer.weight

    def enrol(self, character: str, images: Sequence[bytes], description: str = "") -> int:
        """Add pictures of a new or known character; returns how many it has now.

        images: files as of references, 1 to MAX_IMAGES; one enrolled before is not counted again.
        description: its looks, replacing an earlier description; "" keeps that.
        Raises EnrolmentError if the name, the number of images, an image or the description is not
        allowed; then nothing has changed.
        """
        character = _known_name(character)
        description = _checked(description)
        if description and self._describe is None:
            allowed = "none: the server's recogniser has no text tower"
            raise EnrolmentError(problem("description", description, allowed))
        if not 1 <= len(images) <= MAX_IMAGES:
            raise EnrolmentError(problem("images", len(images), f"1 to {MAX_IMAGES} images"))
        side = self.recogniser.info.side
        pictures = []
        for place, data in enumerate(images):
            try:
                image_file.check_header(data)
                pictures.append(fit(self._decode(data), side, side).pixels)
            except image_file.ImageFileError as refused:
                line = problem(f"images[{place}]", refused.got, refused.allowed)
                raise EnrolmentError(line) from refused
        digests = [image_file.sha256_hex(data) for data in images]
        embeddings = dict(zip(digests, self.recogniser(pictures), strict=True))
        described = self._describe([description])[0] if self._describe and description else None
        return self._database.enrol(character, embeddings, described)

    def forget(self, character: str) -> int:
        """Remove a character; returns how many pictures it had. Raises EnrolmentError."""
        character = _known_name(character)
        return self._database.forget(character)

    def pictures(self, character: str) -> tuple[str, ...]:
        """SHA-256 of a character's pictures, hexadecimal. Raises EnrolmentError."""
        known = _known_name(character)
        return tuple(digest for name, digest in self._database.read().pictures if name == known)

    def characters(self) -> tuple[str, ...]:
        """The names of all characters, sorted. Raises EnrolmentError for a damaged file."""
        return self._database.read().names()

    def identify(self, image: bytes) -> Match:
        """The character in an image file ("" if unknown) and the score.

        Raises `image_file.ImageFileError`, and EnrolmentError for a damaged database.
        """
        side = self.recogniser.info.side
        image_file.check_header(image)
        pixels = fit(self._decode(image), side, side).pixels
        (match,) = self.matches(self.recogniser([pixels]))
        return match

    def matches(self, embeddings: Embeddings) -> list[Match]:
        """For each row the nearest character ("" below the threshold) and its score."""
        enrolments = self._database.read()
        nearest = [enrolments.nearest(np.asarray(row), self._weight) for row in embeddings]
        least = self.recogniser.info.threshold
        return [match if match.score >= least else Match("", match.score) for match in nearest]


def open_identity(
    recogniser: Recogniser,
    folder: Path,
    describe: Callable[[Sequence[str]], Embeddings] | None = None,
    decode: DecodePicture = image_file.decode,
) -> Identity:
    """An `Identity` with its enrolments in `folder`, which the first enrolment creates.

    If the folder has enrolments of other recognisers, the log names them.
    """
    info = recogniser.info
    describer = info.sha256.get(DESCRIBER, "")
    database = EnrolmentDatabase(folder, recogniser.sha256, info.width, describer)
    for path in database.others():
        _log.warning(
            "%s: got enrolments of another recogniser, allowed: of this one; they are not used; "
            "enrol each character again: lafi enrol NAME PICTURES",
            path,
        )
    return Identity(recogniser, database, describe, decode)


def _checked(text: str) -> str:
    """A description joined to one line. Raises EnrolmentError if it is not allowed."""
    try:
        return _LINE.validate_python(text)
    except ValidationError:
        allowed = f"at most {MAX_PROMPT_BYTES} bytes of text without control characters or braces"
        raise EnrolmentError(problem("description", text, allowed)) from None


def _known_name(name: str) -> str:
    try:
        return character_name(name)
    except ValueError:
        raise EnrolmentError(problem("character", name, NAME_ALLOWED)) from None
