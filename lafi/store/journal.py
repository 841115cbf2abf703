"""`Journal`: accepted storyboards, so that they outlive the server that accepted them.

One SQLite file, synced at every change. Knows bytes, numbers and addresses, not what they mean.
Times are seconds since 1970.
"""

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

JOURNAL_FILE: Final = "journal.sqlite"
JOURNAL_BYTES: Final = 2**30
PORTRAIT: Final = -1
"""The number under which the addresses of portraits are kept: nobody acknowledges them."""
State = Literal["open", "finished", "failed"]

_log = logging.getLogger(__name__)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS storyboard (
    id TEXT PRIMARY KEY, accepted REAL NOT NULL, detach INTEGER NOT NULL, state TEXT NOT NULL,
    lives INTEGER NOT NULL, bytes INTEGER NOT NULL, document BLOB NOT NULL,
    owner TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS picture (
    id TEXT NOT NULL REFERENCES storyboard ON DELETE CASCADE, place INTEGER NOT NULL,
    sha256 TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (id, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS panel (
    id TEXT NOT NULL REFERENCES storyboard ON DELETE CASCADE, number INTEGER NOT NULL,
    address TEXT NOT NULL, held INTEGER NOT NULL, PRIMARY KEY (id, number, address)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS panel_address ON panel (address, held);
CREATE INDEX IF NOT EXISTS picture_sha256 ON picture (sha256);
"""
_LEFT: Final = "SELECT count(DISTINCT number) FROM panel WHERE id = ? AND number >= 0 AND held = 0"


class JournalFullError(RuntimeError):
    """There is no room for another storyboard."""


class Unfinished(NamedTuple):
    """A detached storyboard that is not done. lives: servers that have begun it before."""

    id: str
    lives: int


class Journal:
    """Rows of accepted storyboards; every method is one transaction, for any thread."""

    def __init__(
        self,
        path: Path,
        *,
        retention: float,
        max_bytes: int = JOURNAL_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the file, or make it. A damaged one is set aside, which the log tells.

        retention: seconds that a storyboard is kept. max_bytes: of documents and pictures.
        Raises OSError and sqlite3.Error where there can be none.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        self._retention, self._max_bytes, self._clock = retention, max_bytes, clock
        self._lock = threading.Lock()
        try:
            self._rows = _opened(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # it cannot be opened, which says nothing of its content
            _set_aside(path, error)
            self._rows = _opened(path)
        self.expire()

    def add(
        self,
        identifier: str,
        document: bytes,
        pictures: Sequence[bytes],
        panels: Sequence[Sequence[str]],
        portraits: Iterable[str] = (),
        *,
        detach: bool = False,
        in_flight: Iterable[str] = (),
        owner: str = "",
    ) -> list[str]:
        """Keep a storyboard; durable when this returns. Returns addresses that may go.

        panels: for each the addresses of what is kept of it. in_flight: must not make room.
        owner: name of the key that sent it.
        Raises JournalFullError and sqlite3.Error.
        """
        size = len(document) + sum(map(len, pictures))
        numbered = [(n, a) for n, several in enumerate(panels) for a in several]
        numbered += [(PORTRAIT, address) for address in portraits]
        with self._change() as rows:
            free = self._make_room(rows, size, {*in_flight})
            row = (identifier, self._clock(), detach, "open", 0, size, document, owner)
            rows.execute("INSERT INTO storyboard VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            rows.executemany(
                "INSERT INTO picture VALUES (?, ?, ?, ?)",
                [(identifier, n, _sha256(data), data) for n, data in enumerate(pictures)],
            )
            rows.executemany(
                "INSERT OR IGNORE INTO panel VALUES (?, ?, ?, 0)",
                [(identifier, number, address) for number, address in numbered],
            )
        return free

    def request(self, identifier: str) -> tuple[bytes, list[bytes]] | None:
        """Document and pictures of a storyboard; None for an id that is not known."""
        with self._change() as rows:
            found = rows.execute("SELECT document FROM storyboard WHERE id = ?", (identifier,))
            documents = found.fetchall()
            sql = "SELECT data FROM picture WHERE id = ? ORDER BY place"
            pictures = [row[0] for row in rows.execute(sql, (identifier,))]
        return (documents[0][0], pictures) if documents else None

    def has(self, identifier: str) -> bool:
        """Whether the storyboard is still known."""
        with self._change() as rows:
            found = rows.execute("SELECT 1 FROM storyboard WHERE id = ?", (identifier,))
            return found.fetchone() is not None

    def owner(self, identifier: str) -> str | None:
        """Name of the key that sent it, "": none; None for an id that is not known."""
        with self._change() as rows:
            found = rows.execute("SELECT owner FROM storyboard WHERE id = ?", (identifier,))
            row = found.fetchone()
        return None if row is None else str(row[0])

    def unfinished(self) -> list[Unfinished]:
        """Detached storyboards that are not done, in order of arrival."""
        sql = (
            "SELECT id, lives FROM storyboard WHERE detach = 1 AND state = 'open' "
            "ORDER BY accepted, id"
        )
        with self._change() as rows:
            return [Unfinished(*row) for row in rows.execute(sql)]

    def live(self, identifier: str, lives: int) -> None:
        """Note in how many servers' lives it was begun without a new panel."""
        with self._change() as rows:
            rows.execute("UPDATE storyboard SET lives = ? WHERE id = ?", (lives, identifier))

    def end(self, identifier: str, state: State) -> list[str]:
        """It is drawn no further for now. Returns addresses that may go."""
        with self._change() as rows:
            rows.execute("UPDATE storyboard SET state = ? WHERE id = ?", (state, identifier))
            (left,) = rows.execute(_LEFT, (identifier,)).fetchone()
            return [] if left else _removed(rows, [identifier])

    def acknowledge(
        self, identifier: str, numbers: Iterable[int], *, in_flight: bool
    ) -> tuple[list[str], int] | None:
        """Its client holds these panels. Returns addresses that may go, and how many are left.

        The storyboard is forgotten once none is left, unless it is in flight. None for an id that
        is not known.
        """
        with self._change() as rows:
            if not rows.execute("SELECT 1 FROM storyboard WHERE id = ?", (identifier,)).fetchone():
                return None
            held = [(identifier, number) for number in {*numbers} if number >= 0]
            rows.executemany("UPDATE panel SET held = 1 WHERE id = ? AND number = ?", held)
            sql = "SELECT address FROM panel WHERE id = ? AND number = ?"
            mine = [row[0] for key in held for row in rows.execute(sql, key)]
            (left,) = rows.execute(_LEFT, (identifier,)).fetchone()
            if not left and not in_flight:
                return _removed(rows, [identifier]), 0
            return _free(rows, mine), left

    def remove(self, identifiers: Iterable[str]) -> list[str]:
        """Forget storyboards. Returns addresses that may go."""
        with self._change() as rows:
            return _removed(rows, [*identifiers])

    def with_picture(self, sha256: str) -> list[str]:
        """Ids of the storyboards that contain a picture."""
        with self._change() as rows:
            found = rows.execute("SELECT DISTINCT id FROM picture WHERE sha256 = ?", (sha256,))
            return [row[0] for row in found]

    def expire(self) -> list[str]:
        """Forget what is older than the retention. Returns addresses that may go."""
        with self._change() as rows:
            before = self._clock() - self._retention
            found = rows.execute("SELECT id FROM storyboard WHERE accepted < ?", (before,))
            return _removed(rows, [row[0] for row in found.fetchall()])

    def count(self) -> int:
        """Storyboards that are known."""
        with self._change() as rows:
            return int(rows.execute("SELECT count(*) FROM storyboard").fetchone()[0])

    def bytes(self) -> int:
        """Of all documents and pictures."""
        with self._change() as rows:
            return _total(rows)

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._rows.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Cursor]:
        with self._lock, closing(self._rows.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    cursor.execute("ROLLBACK")
                raise

    def _make_room(self, rows: sqlite3.Cursor, more: int, in_flight: set[str]) -> list[str]:
        """Forget what nobody draws, oldest first; never a detached storyboard that is not done."""
        sql = (
            "SELECT id FROM storyboard WHERE NOT (detach = 1 AND state = 'open') "
            "ORDER BY accepted, id"
        )
        candidates = [row[0] for row in rows.execute(sql) if row[0] not in in_flight]
        free: list[str] = []
        while _total(rows) + more > self._max_bytes:
            if not candidates:
                raise JournalFullError(
                    f"the journal may hold {self._max_bytes} bytes, storyboards that are not "
                    f"done take {_total(rows)}, and this one has {more}; try again later"
                )
            free += _removed(rows, [candidates.pop(0)])
        return free


def _opened(path: Path) -> sqlite3.Connection:
    rows = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        path.chmod(0o600)
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA synchronous = FULL")
        rows.execute("PRAGMA foreign_keys = ON")
        rows.execute("PRAGMA secure_delete = ON")
        rows.executescript(_SCHEMA)
        _add_owner(rows)
        (found,) = rows.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except BaseException:
        rows.close()
        raise
    return rows


def _add_owner(rows: sqlite3.Connection) -> None:
    """A journal from before there were keys lacks the column."""
    if "owner" not in {row[1] for row in rows.execute("PRAGMA table_info(storyboard)")}:
        rows.execute("ALTER TABLE storyboard ADD COLUMN owner TEXT NOT NULL DEFAULT ''")


def _set_aside(path: Path, error: Exception) -> None:
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    path.replace(aside)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    _log.error(
        "the journal is damaged (%s) and was set aside as %s: accepted storyboards that were not "
        "finished are lost; their clients send them again, and finished panels are found",
        *(error, aside.name),
    )


def _removed(rows: sqlite3.Cursor, identifiers: list[str]) -> list[str]:
    """Remove storyboards. Returns the addresses that nobody needs any more."""
    found: list[str] = []
    for identifier in identifiers:
        sql = "SELECT address FROM panel WHERE id = ?"
        found += [row[0] for row in rows.execute(sql, (identifier,))]
        rows.execute("DELETE FROM storyboard WHERE id = ?", (identifier,))
    return _free(rows, found)


def _free(rows: sqlite3.Cursor, addresses: Iterable[str]) -> list[str]:
    """Those that no storyboard waits for."""
    sql = "SELECT 1 FROM panel WHERE address = ? AND held = 0 LIMIT 1"
    different = dict.fromkeys(addresses)
    return [each for each in different if not rows.execute(sql, (each,)).fetchone()]


def _total(rows: sqlite3.Cursor) -> int:
    (total,) = rows.execute("SELECT coalesce(sum(bytes), 0) FROM storyboard").fetchone()
    return int(total)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
