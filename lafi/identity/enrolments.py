"""Who is enrolled at one moment, and who of them is nearest to a picture.

Knows embeddings, neither pictures nor networks nor where enrolments are kept.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_AFTER_ANY_DIGEST: Final = "g"
"""Hexadecimal digits are less."""
_EQUAL: Final = 1e-6
"""Scores that differ by less are equal."""

Embedding = npt.NDArray[np.float32]
"""(D,) of unit length."""


class EnrolmentError(ValueError):
    """The enrolments cannot be read or changed as asked; the text says what is allowed."""


class EnrolmentDatabaseError(EnrolmentError):
    """The file or its folder is at fault, not what was asked."""


class Match(NamedTuple):
    """The nearest enrolled character, and the score in [-1, 1]; "" and -1 where nobody is."""

    character: str
    score: float


@dataclass(frozen=True, slots=True)
class Enrolments:
    """Everybody who is enrolled at one moment.

    pictures    (name, SHA-256 of the picture's file, hexadecimal) of each, sorted, so that
                nothing depends on the order in which they came
    embeddings  (N, D) float32, a row for each
    words       what characters are said to look like, by name, sorted; of some or none
    """

    pictures: tuple[tuple[str, str], ...]
    embeddings: npt.NDArray[np.float32]
    words: Mapping[str, Embedding] = field(default_factory=dict)
    _said: "_Said" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_said", _said_of(self))

    def of(self, name: str) -> int:
        """How many pictures of a character are known."""
        return sum(each == name for each, _ in self.pictures)

    def names(self) -> tuple[str, ...]:
        """Everybody, sorted."""
        return tuple(dict.fromkeys(name for name, _ in self.pictures))

    def nearest(self, embedding: Embedding, weight: float = 0.0) -> Match:
        """Whose picture is nearest, words counted in. Of equally near ones the first by name.

        A picture's score is its cosine with the embedding, plus `weight` times how much better
        the embedding fits the words about its character than the picture does, at most 1 in all.
        So an enrolled picture has score 1 whatever is said of it; of equal scores the cosine
        decides.
        """
        if not self.pictures:
            return Match("", -1.0)
        cosines = self.embeddings @ embedding
        scores = np.minimum(self._said.scores(cosines, embedding, weight), 1.0)
        equal = scores >= scores.max() - _EQUAL
        best = int(np.where(equal, cosines, -2.0).argmax())
        return Match(self.pictures[best][0], float(np.clip(scores[best], -1, 1)))

    def rows_of(self, name: str) -> slice:
        """A character's pictures, which lie together as they are sorted."""
        first = bisect_left(self.pictures, (name, ""))
        return slice(first, bisect_left(self.pictures, (name, _AFTER_ANY_DIGEST)))

    def with_pictures(
        self, name: str, pictures: Mapping[str, Embedding], words: Embedding | None = None
    ) -> "Enrolments":
        """With more pictures of a character, by their SHA-256; one that is there stays as it is.

        words: in place of those that it had; None leaves them.
        """
        rows = dict(zip(self.pictures, self.embeddings, strict=True))
        for digest, embedding in pictures.items():
            rows.setdefault((name, digest), embedding)
        said = self.words if words is None else {**self.words, name: words}
        return self._made(rows, said)

    def without(self, name: str) -> "Enrolments":
        """Without a character."""
        rows = zip(self.pictures, self.embeddings, strict=True)
        said = {who: words for who, words in self.words.items() if who != name}
        return self._made({key: row for key, row in rows if key[0] != name}, said)

    def _made(
        self, rows: Mapping[tuple[str, str], Embedding], words: Mapping[str, Embedding]
    ) -> "Enrolments":
        keys = tuple(sorted(rows))
        stacked = np.array([rows[key] for key in keys], dtype=np.float32)
        embeddings = stacked.reshape(len(keys), self.embeddings.shape[1])
        return Enrolments(keys, embeddings, dict(sorted(words.items())))


@dataclass(frozen=True, slots=True)
class _Said:
    """The words of described characters, ready for many probes.

    rows    (R,) the pictures of described characters
    owners  (R,) of whom each is, as a row of `words`
    words   (K, D)
    fits    (R,) cosine of each picture with the words about it
    """

    rows: npt.NDArray[np.intp]
    owners: npt.NDArray[np.intp]
    words: npt.NDArray[np.float32]
    fits: npt.NDArray[np.float32]

    def scores(
        self, cosines: npt.NDArray[np.float32], embedding: Embedding, weight: float
    ) -> npt.NDArray[np.float32]:
        """`cosines` (N,) of all pictures, with the words counted in."""
        if not weight or not len(self.rows):
            return cosines
        better = (self.words @ embedding)[self.owners] - self.fits
        scores = cosines.copy()
        scores[self.rows] += np.float32(weight) * better
        return scores


def _said_of(state: Enrolments) -> _Said:
    width = state.embeddings.shape[1]
    words = np.array([*state.words.values()], np.float32).reshape(len(state.words), width)
    slices = [state.rows_of(name) for name in state.words]
    counts = [each.stop - each.start for each in slices]
    rows = np.array([row for each in slices for row in range(each.start, each.stop)], np.intp)
    owners = np.arange(len(words)).repeat(counts)
    return _Said(rows, owners, words, (state.embeddings[rows] * words[owners]).sum(axis=1))
