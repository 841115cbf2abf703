"""What is kept of a finished panel, and its form as one file.

Nothing in it names anybody: no characters' names, titles or prompts. Those are added when the panel
is sent, so that the words of one client never reach another.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_MARK: Final = b"lafi panel 1 "
_DIGITS: Final = 64

Address = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=1)]


class DamagedError(ValueError):
    """A file that is no record, or no longer what was written."""


class Facts(BaseModel):
    """Of the drawing that is kept.

    scores      cosines in [-1, 1] by the place of a character in the panel, from 0
    attempt     number of this drawing, from 1; attempts: how many there were
    references  SHA-256 of the pictures that it was drawn from, so that they can be forgotten
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: Address
    seed: int = Field(ge=0)
    scores: dict[int, float] = Field(default_factory=dict)
    attempt: Count = 1
    attempts: Count = 1
    references: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A finished panel: its facts and its pixels as a PNG file without any text."""

    facts: Facts
    png: bytes = field(repr=False)

    def packed(self) -> bytes:
        """One file: a line with the SHA-256 of all that follows, a line of JSON, the PNG."""
        body = self.facts.model_dump_json().encode() + b"\n" + self.png
        return _MARK + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpacked(data: bytes, address: str) -> Record:
    """What `Record.packed` wrote for this address. Raises DamagedError."""
    start = len(_MARK) + _DIGITS + 1
    head, body = data[:start], data[start:]
    if head != _MARK + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise DamagedError(f"{address}: its content is not what was written")
    line, _, png = body.partition(b"\n")
    try:
        facts = Facts.model_validate_json(line)
    except ValidationError as error:
        raise DamagedError(f"{address}: {error}") from error
    if facts.address != address:
        raise DamagedError(f"{address}: it holds {facts.address}")
    return Record(facts, png)
