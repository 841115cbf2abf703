"""Reads the enrolments of earlier versions: `enrolled_*.bin`, read once and then replaced.

The format: a line with a magic word and the SHA-256 of all that follows, a line with a JSON
header, and the embeddings as float32. Knows this format only, not today's.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_MAGIC: Final = b"lafi enrolments 1 "


class OldFileError(ValueError):
    """The file cannot be read; `got` and `allowed` for its message."""

    def __init__(self, got: str, allowed: str) -> None:
        super().__init__(f"got {got}, allowed: {allowed}")
        self.got, self.allowed = got, allowed


@dataclass(frozen=True, slots=True)
class OldFile:
    """The content of one file.

    recogniser    SHA-256 of the network that made the embeddings, hexadecimal
    width         of an embedding, D
    pictures      (name, SHA-256 of the picture's file) of each
    embeddings    (N, D) float32, one row for each picture
    describer     SHA-256 of the text tower that embedded the descriptions; "" without descriptions
    described     names of the characters with a description
    descriptions  (K, D) float32, one row for each of these names
    """

    recogniser: str
    width: int
    pictures: tuple[tuple[str, str], ...]
    embeddings: npt.NDArray[np.float32]
    describer: str
    described: tuple[str, ...]
    descriptions: npt.NDArray[np.float32]


def read_old_file(data: bytes) -> OldFile:
    """The enrolments in a file's bytes. Raises OldFileError for another format, or for damage."""
    first, _, rest = data.partition(b"\n")
    if not first.startswith(_MAGIC):
        raise OldFileError("a file that is none of enrolments", "one that `enrol` wrote")
    if first != _MAGIC + hashlib.sha256(rest).hexdigest().encode():
        raise OldFileError("a damaged file", "a whole one; put back a copy, or remove it")
    line, _, rows = rest.partition(b"\n")
    header = json.loads(line)
    width = header["width"]
    pictures = tuple(
        (name, digest) for name, digests in header["pictures"].items() for digest in digests
    )
    # The oldest files have no descriptions.
    described = tuple(header.get("words", ()))
    count = len(pictures)
    stored = np.frombuffer(rows, "<f4").reshape(count + len(described), width).astype(np.float32)
    return OldFile(
        recogniser=header["recogniser"],
        width=width,
        pictures=pictures,
        embeddings=stored[:count],
        describer=header.get("describer", ""),
        described=described,
        descriptions=stored[count:],
    )
