"""The enrolments in an SQLite file, which many processes may read and change at the same time.

Each change is one transaction: no change is lost or read half done, even if a process dies.
Knows embeddings only: no pictures, no networks.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lafi.identity.enrolments import (
    Embedding,
    EnrolmentDatabaseError,
    EnrolmentError,
    Enrolments,
)
from lafi.identity.old_enrolment_file import OldFileError, read_old_file

MAX_PICTURES_EACH: Final = 64
"""The most pictures of one character."""
MAX_PICTURES: Final = 100_000
"""The most pictures in all: 72 MB at width 128, twice that if each has a description."""

_STORED: Final = np.dtype("<f4")
_BUSY_SECONDS: Final = 30.0
"""How long a call waits for other processes; a change takes a few milliseconds."""
_SCHEMA: Final = """
PRAGMA application_id = 0x6c616669;
PRAGMA user_version = 1;
CREATE TABLE owner (recogniser TEXT NOT NULL, width INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE picture (
    character TEXT NOT NULL, sha256 TEXT NOT NULL, embedding BLOB NOT NULL,
    PRIMARY KEY (character, sha256)
) WITHOUT ROWID;
CREATE TABLE description (
    character TEXT NOT NULL, describer TEXT NOT NULL, embedding BLOB NOT NULL,
    PRIMARY KEY (character, describer)
) WITHOUT ROWID;
"""
"""`owner.content` is the SHA-256 of everything else, to detect changes and damage."""
_APPLICATION, _VERSION = 0x6C616669, 1
_UNREACHABLE: Final = {
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY),
}
_FOREIGN: Final = ("a file that is none of enrolments", "one that `enrol` wrote")
_DAMAGED: Final = ("a damaged file", "a whole one; put back a copy, or remove it")


class EnrolmentDatabase:
    """The enrolments of one recogniser in a folder, shared by threads and processes.

    Each recogniser has its own file, because its embeddings are useless to any other. So all
    characters must be enrolled again for a newly trained recogniser; the old file stays and is
    used again with the old recogniser. Only the user may read the file, and the folder if this
    class creates it.
    """

    def __init__(self, folder: Path, recogniser: str, width: int, describer: str = "") -> None:
        """recogniser: SHA-256 of its network, hexadecimal. width: of an embedding, D.

        describer: SHA-256 of the text tower. Descriptions embedded by another one are ignored.
        """
        self._folder = Path(folder)
        self.path = self._folder / f"enrolled_{recogniser[:16]}.sqlite"
        self._old_path = self.path.with_suffix(".bin")
        self._recogniser = recogniser
        self._width = width
        self._describer = describer
        self._lock = threading.Lock()
        self._seen: str | None = None
        self._state = self._empty()

    def others(self) -> tuple[Path, ...]:
        """Files of other recognisers in the folder; they are neither read nor changed."""
        found = sorted(self._folder.glob("enrolled_*"))
        kinds = (self.path.suffix, self._old_path.suffix)
        return tuple(p for p in found if p.suffix in kinds and p.stem != self.path.stem)

    def read(self) -> Enrolments:
        """The current enrolments, read again only if they changed.

        Raises EnrolmentDatabaseError for a damaged file.
        """
        with self._lock:
            if not self._exists():
                self._seen, self._state = None, self._empty()
                return self._state
            with self._transaction("BEGIN") as connection:
                return self._loaded(connection, known=self._seen)

    def enrol(
        self, name: str, pictures: Mapping[str, Embedding], description: Embedding | None = None
    ) -> int:
        """Add pictures of a character, by the SHA-256 of their files; returns its new total.

        description: replaces the character's earlier one; None keeps that.

        Raises EnrolmentError beyond MAX_PICTURES_EACH or MAX_PICTURES, and EnrolmentDatabaseError
        if the folder cannot be written to. On an error nothing has changed.
        """
        with self._lock:
            if not self._exists():
                self._create()
            with self._transaction("BEGIN IMMEDIATE") as connection:
                before = self._loaded(connection)
                after = before.with_pictures(name, pictures, description)
                self._check_room(name, after)
                if description is not None or after.pictures != before.pictures:
                    rows = [(name, key, _bytes_of(row)) for key, row in pictures.items()]
                    connection.executemany("INSERT OR IGNORE INTO picture VALUES (?, ?, ?)", rows)
                    if description is not None:
                        row = (name, self._describer, _bytes_of(description))
                        connection.execute("REPLACE INTO description VALUES (?, ?, ?)", row)
                    self._seal(connection)
        return after.of(name)

    def forget(self, name: str) -> int:
        """Remove a character; returns how many pictures it had. Raises like `enrol`."""
        with self._lock:
            if not self._exists():
                return 0
            with self._transaction("BEGIN IMMEDIATE") as connection:
                if known := self._loaded(connection).of(name):
                    connection.execute("DELETE FROM picture WHERE character = ?", (name,))
                    connection.execute("DELETE FROM description WHERE character = ?", (name,))
                    self._seal(connection)
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
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """A connection within a transaction, which is rolled back if the block raises.

        Errors of SQLite become an EnrolmentDatabaseError that names the file.
        """
        # mode=rw never creates a file: an empty one would look like a damaged one.
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        try:
            with closing(
                sqlite3.connect(address, _BUSY_SECONDS, isolation_level=None, uri=True)
            ) as connection:
                # Changes are on the disk before `enrol` returns; deleted rows are overwritten.
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # Errors that Python's module itself raises have no code: text that is not UTF-8.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in _UNREACHABLE:
                got, allowed = f"a file that cannot be used ({error})", "one that can"
                raise _refused(self.path, got, allowed) from error
            if code == sqlite3.SQLITE_NOTADB:
                raise _refused(self.path, *_FOREIGN) from error
            raise _refused(self.path, *_DAMAGED) from error

    def _loaded(self, connection: sqlite3.Connection, known: str | None = None) -> Enrolments:
        """The stored enrolments. Raises EnrolmentDatabaseError for damage.

        known: hash of the content read last; if it is unchanged, the rows are not read again.
        Changes leave it None: without reading all rows they would write a new hash over damage.
        """
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != _APPLICATION:
            raise _refused(self.path, *_FOREIGN)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            raise _refused(self.path, f"a file of format {version}", f"format {_VERSION}")
        (content,) = connection.execute("SELECT content FROM owner").fetchone() or ("",)
        if content != known:
            stored = _Stored.of(connection)
            if not content or content != stored.content():
                raise _refused(self.path, *_DAMAGED)
            self._check_owner(self.path, *stored.owner)
            self._seen, self._state = content, stored.enrolments(self._width, self._describer)
        return self._state

    def _check_owner(self, path: Path, recogniser: str, width: int) -> None:
        if (recogniser, width) != (self._recogniser, self._width):
            got = f"embeddings of width {width} of the recogniser {recogniser[:16]}"
            raise _refused(path, got, f"width {self._width} of {self._recogniser[:16]}")

    def _seal(self, connection: sqlite3.Connection) -> None:
        """Stores the new content hash. Raises EnrolmentDatabaseError if the file is damaged."""
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise _refused(self.path, *_DAMAGED)
        content = _Stored.of(connection).content()
        connection.execute("UPDATE owner SET content = ?", (content,))

    def _exists(self) -> bool:
        """Whether the database exists. Converts a file of an earlier version first."""
        # In this order, because a conversion creates the new file before it removes the old one.
        if self._old_path.exists() and not self.path.exists():
            self._create()
        return self.path.exists()

    def _create(self) -> None:
        """Create the file with the enrolments of an earlier version's file, if there is one."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self._folder / "enrolled.lock"):
                if self.path.exists():
                    return
                old = self._old_path.read_bytes() if self._old_path.exists() else None
                _put(self.path, self._new_database(old))
                if old is not None:
                    self._old_path.unlink()
        except OSError as error:
            raise EnrolmentDatabaseError(
                f"{self._folder}: got a folder that cannot be written to ({error.strerror}), "
                "allowed: one that can"
            ) from error

    def _new_database(self, old: bytes | None) -> bytes:
        """The bytes of a new database with the enrolments of an old file, if any."""
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
            owner = (self._recogniser, self._width, "")
            connection.execute("INSERT INTO owner VALUES (?, ?, ?)", owner)
            if old is not None:
                try:
                    file = read_old_file(old)
                except OldFileError as error:
                    raise _refused(self._old_path, error.got, error.allowed) from error
                self._check_owner(self._old_path, file.recogniser, file.width)
                pictures = [
                    (*key, _bytes_of(row))
                    for key, row in zip(file.pictures, file.embeddings, strict=True)
                ]
                connection.executemany("INSERT INTO picture VALUES (?, ?, ?)", pictures)
                descriptions = [
                    (name, file.describer, _bytes_of(row))
                    for name, row in zip(file.described, file.descriptions, strict=True)
                ]
                connection.executemany("INSERT INTO description VALUES (?, ?, ?)", descriptions)
            self._seal(connection)
            return connection.serialize()


class _Stored(NamedTuple):
    """The rows of all tables, sorted by their keys."""

    owner: tuple[str, int]
    pictures: list[tuple[str, str, bytes]]
    descriptions: list[tuple[str, str, bytes]]

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> "_Stored":
        owner = connection.execute("SELECT recogniser, width FROM owner").fetchone()
        read = "SELECT * FROM {} ORDER BY character, {}".format
        pictures = connection.execute(read("picture", "sha256")).fetchall()
        descriptions = connection.execute(read("description", "describer")).fetchall()
        return cls(owner, pictures, descriptions)

    def content(self) -> str:
        """SHA-256 of everything, hexadecimal; "" if a value has a type that is never stored."""
        rows = (*self.pictures, *self.descriptions)
        try:
            keys = json.dumps([self.owner, len(self.pictures), [row[:2] for row in rows]])
            values = b"".join(row[2] for row in rows)
        except (TypeError, ValueError):
            return ""
        return hashlib.sha256(keys.encode() + values).hexdigest()

    def enrolments(self, width: int, describer: str) -> Enrolments:
        """The enrolments, without the descriptions of other describers."""
        ours = [row for row in self.descriptions if row[1] == describer]
        descriptions = _rows_of([row[2] for row in ours], width)
        return Enrolments(
            tuple((name, digest) for name, digest, _ in self.pictures),
            _rows_of([row[2] for row in self.pictures], width),
            {row[0]: embedding for row, embedding in zip(ours, descriptions, strict=True)},
        )


def _rows_of(values: list[bytes], width: int) -> npt.NDArray[np.float32]:
    stored = np.frombuffer(b"".join(values), _STORED)
    return stored.reshape(len(values), width).astype(np.float32)


def _bytes_of(embedding: Embedding) -> bytes:
    return np.asarray(embedding, _STORED).tobytes()


def _refused(path: Path, got: str, allowed: str) -> EnrolmentDatabaseError:
    return EnrolmentDatabaseError(f"{path}: got {got}, allowed: {allowed}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock among all processes. The kernel frees it if a process dies."""
    # A lock belongs to an open file. Opening it anew each time also excludes other threads.
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _put(path: Path, content: bytes) -> None:
    """Writes a whole file or none. Called under the lock, so no one else uses the name `new`."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
