"""The enrolled characters at one moment, and which of them is nearest to a picture.

Knows embeddings only: no pictures, no networks, no files.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_AFTER_ANY_DIGEST: Final = "g"
"""Sorts after every hexadecimal digit."""
_EQUAL: Final = 1e-6
"""Scores that differ by less than this count as equal."""

Embedding = npt.NDArray[np.float32]
"""(D,) of unit length."""


class EnrolmentError(ValueError):
    """The enrolments cannot be read or changed as asked; the text says what is allowed."""


class EnrolmentDatabaseError(EnrolmentError):
    """The database file or its folder is at fault, not the request."""


class Match(NamedTuple):
    """The nearest enrolled character and its score in [-1, 1]; "" and -1 if none is enrolled."""

    character: str
    score: float


@dataclass(frozen=True, slots=True)
class Enrolments:
    """All enrolled characters at one moment.

    pictures      (name, SHA-256 of the picture's file, hexadecimal) of each, sorted, so that the
                  order of enrolling changes nothing
    embeddings    (N, D) float32, one row for each picture
    descriptions  embeddings of the characters' descriptions, by name, sorted; some have none
    """

    pictures: tuple[tuple[str, str], ...]
    embeddings: npt.NDArray[np.float32]
    descriptions: Mapping[str, Embedding] = field(default_factory=dict)
    _described: "_Described" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_described", _described_in(self))

    def of(self, name: str) -> int:
        """The number of pictures of a character."""
        return sum(each == name for each, _ in self.pictures)

    def names(self) -> tuple[str, ...]:
        """The names of all characters, sorted."""
        return tuple(dict.fromkeys(name for name, _ in self.pictures))

    def nearest(self, embedding: Embedding, weight: float = 0.0) -> Match:
        """The character with the best-scoring picture; of equal ones the first by name.

        A picture's score is its cosine with `embedding`. If its character has a description, this
        is added: `weight` times (cosine of embedding and description, minus cosine of picture and
        description). A score is at most 1, so an enrolled picture always finds itself with 1. Of
        equal scores the higher cosine wins.
        """
        if not self.pictures:
            return Match("", -1.0)
        cosines = self.embeddings @ embedding
        scores = np.minimum(self._described.scores(cosines, embedding, weight), 1.0)
        equal = scores >= scores.max() - _EQUAL
        best = int(np.where(equal, cosines, -2.0).argmax())
        return Match(self.pictures[best][0], float(np.clip(scores[best], -1, 1)))

    def rows_of(self, name: str) -> slice:
        """The rows of a character's pictures, which are adjacent because pictures are sorted."""
        first = bisect_left(self.pictures, (name, ""))
        return slice(first, bisect_left(self.pictures, (name, _AFTER_ANY_DIGEST)))

    def with_pictures(
        self, name: str, pictures: Mapping[str, Embedding], description: Embedding | None = None
    ) -> "Enrolments":
        """A copy with more pictures of a character, by their SHA-256; known ones stay as they are.

        description: replaces the character's earlier one; None keeps that.
        """
        rows = dict(zip(self.pictures, self.embeddings, strict=True))
        for digest, embedding in pictures.items():
            rows.setdefault((name, digest), embedding)
        described = dict(self.descriptions)
        if description is not None:
            described[name] = description
        return self._made(rows, described)

    def without(self, name: str) -> "Enrolments":
        """A copy without a character."""
        rows = zip(self.pictures, self.embeddings, strict=True)
        described = {who: row for who, row in self.descriptions.items() if who != name}
        return self._made({key: row for key, row in rows if key[0] != name}, described)

    def _made(
        self, rows: Mapping[tuple[str, str], Embedding], descriptions: Mapping[str, Embedding]
    ) -> "Enrolments":
        keys = tuple(sorted(rows))
        stacked = np.array([rows[key] for key in keys], dtype=np.float32)
        embeddings = stacked.reshape(len(keys), self.embeddings.shape[1])
        return Enrolments(keys, embeddings, dict(sorted(descriptions.items())))


@dataclass(frozen=True, slots=True)
class _Described:
    """The characters that have a description, stacked once for the scores of many embeddings.

    rows          (R,) rows of `Enrolments.embeddings`: the pictures of these characters
    owners        (R,) the row of `descriptions` that belongs to each picture
    descriptions  (K, D)
    fits          (R,) cosine of each picture with its character's description
    """

    rows: npt.NDArray[np.intp]
    owners: npt.NDArray[np.intp]
    descriptions: npt.NDArray[np.float32]
    fits: npt.NDArray[np.float32]

    def scores(
        self, cosines: npt.NDArray[np.float32], embedding: Embedding, weight: float
    ) -> npt.NDArray[np.float32]:
        """Scores (N,) of all pictures: their `cosines` (N,) and what the descriptions add."""
        if not weight or not len(self.rows):
            return cosines
        better = (self.descriptions @ embedding)[self.owners] - self.fits
        scores = cosines.copy()
        scores[self.rows] += np.float32(weight) * better
        return scores


def _described_in(state: Enrolments) -> _Described:
    width = state.embeddings.shape[1]
    count = len(state.descriptions)
    descriptions = np.array([*state.descriptions.values()], np.float32).reshape(count, width)
    slices = [state.rows_of(name) for name in state.descriptions]
    counts = [each.stop - each.start for each in slices]
    rows = np.array([row for each in slices for row in range(each.start, each.stop)], np.intp)
    owners = np.arange(count).repeat(counts)
    fits = (state.embeddings[rows] * descriptions[owners]).sum(axis=1)
    return _Described(rows, owners, descriptions, fits)
