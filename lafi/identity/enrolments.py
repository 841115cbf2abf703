"""Who is enrolled: embeddings of characters' pictures in one file, for many writers and readers.

A writer takes a lock, reads what is there, and puts a whole new file in its place, so that no
update is lost and nobody ever reads half of one, whatever dies when. Knows embeddings, neither
pictures nor networks.
"""

import fcntl
import hashlib
import json
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

MAX_PICTURES_EACH: Final = 64
"""Pictures of one character."""
MAX_PICTURES: Final = 100_000
"""Of all characters; at width 128 a file of 50 MB, of up to 100 MB where all are described."""

_MAGIC: Final = b"lafi enrolments 1 "
_FIRST_LINE: Final = len(_MAGIC) + 64 + 1
_STORED: Final = np.dtype("<f4")
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


class EnrolmentDatabase:
    """The enrolments of one recogniser in a folder, shared by threads and processes.

    Each recogniser has a file of its own there: an embedding means nothing to another one. So
    after a new training everybody has to be enrolled again, and going back brings all back.
    """

    def __init__(self, folder: Path, recogniser: str, width: int, describer: str = "") -> None:
        """recogniser: SHA-256 of its network, hexadecimal. width: of an embedding, D.

        describer: SHA-256 of what embeds descriptions. Those by another one count as not said.
        """
        self._folder = Path(folder)
        self.path = self._folder / f"enrolled_{recogniser[:16]}.bin"
        self._recogniser = recogniser
        self._width = width
        self._describer = describer
        self._turn = threading.Lock()
        self._seen: bytes | None = None
        self._state = self._empty()

    def others(self) -> tuple[Path, ...]:
        """Files of other recognisers, which are left as they are and not read."""
        found = sorted(self._folder.glob("enrolled_*.bin"))
        return tuple(path for path in found if path != self.path)

    def read(self) -> Enrolments:
        """What was enrolled last, by whomever. Raises EnrolmentDatabaseError for a damaged file."""
        with self._turn:
            try:
                with self.path.open("rb") as file:
                    first = file.read(_FIRST_LINE)
                    # The first line holds the hash of all others, so it changes with them.
                    if first != self._seen:
                        self._state = self._parsed(first, file.read())
                        self._seen = first
            except FileNotFoundError:
                self._seen, self._state = None, self._empty()
            except OSError as error:
                raise EnrolmentDatabaseError(
                    f"{self.path}: cannot be read ({error.strerror})"
                ) from error
            return self._state

    def enrol(
        self, name: str, pictures: Mapping[str, Embedding], words: Embedding | None = None
    ) -> int:
        """Add pictures of a character, by the SHA-256 of their files; how many it has now.

        words: what it is said to look like, in place of what was said before; None leaves that.

        Raises EnrolmentError beyond MAX_PICTURES_EACH or MAX_PICTURES, EnrolmentDatabaseError where
        the folder cannot be written to; then nothing has changed.
        """
        with self._locked():
            before = self.read()
            after = before.with_pictures(name, pictures, words)
            self._check_room(name, after)
            if words is not None or after.pictures != before.pictures:
                self._write(after)
        return after.of(name)

    def forget(self, name: str) -> int:
        """Remove a character; how many pictures it had. Raises as `enrol`."""
        with self._locked():
            before = self.read()
            if known := before.of(name):
                self._write(before.without(name))
        return known

    def _empty(self) -> Enrolments:
        return Enrolments((), np.zeros((0, self._width), np.float32))

    @staticmethod
    def _check_room(name: str, state: Enrolments) -> None:
        if (count := state.of(name)) > MAX_PICTURES_EACH:
            allowed = f"at most {MAX_PICTURES_EACH} of one character; forget it first"
            raise EnrolmentError(f"pictures of {name}: got {count}, allowed: {allowed}")
        if (count := len(state.pictures)) > MAX_PICTURES:
            raise EnrolmentError(f"pictures: got {count} in all, allowed: at most {MAX_PICTURES}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among all writers. The kernel takes the lock from one that dies."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Opened anew each time: threads exclude each other too, as a lock is an open file's.
            with (self._folder / "enrolled.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise EnrolmentDatabaseError(
                f"{self._folder}: got a folder that cannot be written to ({error.strerror}), "
                "allowed: one that can"
            ) from error

    def _write(self, state: Enrolments) -> None:
        """Put a new file in place; called under the lock, so its name is nobody else's."""
        by_name: dict[str, list[str]] = {}
        for name, digest in state.pictures:
            by_name.setdefault(name, []).append(digest)
        header = {
            "recogniser": self._recogniser,
            "width": self._width,
            "pictures": by_name,
            "describer": self._describer,
            "words": [*state.words],
        }
        rows = [state.embeddings, *(words.reshape(1, -1) for words in state.words.values())]
        stored = np.concatenate(rows).astype(_STORED)
        rest = json.dumps(header).encode() + b"\n" + stored.tobytes()
        new = self.path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(_first_line(rest) + rest)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        _sync(self._folder)

    def _parsed(self, first: bytes, rest: bytes) -> Enrolments:
        if not first.startswith(_MAGIC):
            raise self._refused("a file that is none of enrolments", "one that `enrol` wrote")
        if first != _first_line(rest):
            raise self._refused("a damaged file", "a whole one; put back a copy, or remove it")
        line, _, rows = rest.partition(b"\n")
        header = json.loads(line)
        whose, width = header["recogniser"], header["width"]
        if (whose, width) != (self._recogniser, self._width):
            got = f"embeddings of width {width} of the recogniser {whose[:16]}"
            raise self._refused(got, f"width {self._width} of {self._recogniser[:16]}")
        pictures = tuple(
            (name, digest) for name, digests in header["pictures"].items() for digest in digests
        )
        # Files of before descriptions name no words.
        described = header.get("words", [])
        count = len(pictures)
        stored = np.frombuffer(rows, _STORED).reshape(count + len(described), self._width)
        embeddings = stored.astype(np.float32)
        ours = header.get("describer", "") == self._describer
        words = dict(zip(described, embeddings[count:], strict=True)) if ours else {}
        return Enrolments(pictures, embeddings[:count], words)

    def _refused(self, got: str, allowed: str) -> EnrolmentDatabaseError:
        return EnrolmentDatabaseError(f"{self.path}: got {got}, allowed: {allowed}")


def _first_line(rest: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(rest).hexdigest().encode() + b"\n"


def _sync(folder: Path) -> None:
    """Have the rename itself on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
