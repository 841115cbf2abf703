"""When each file of a store was last used, its size, and until when it must stay.

An SQLite file of this server's own, since an object store tells neither. If it is lost, it is made
anew from what lies in the store. Times are seconds since 1970.
"""

import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS panel (
    address TEXT PRIMARY KEY, bytes INTEGER NOT NULL, used REAL NOT NULL, pinned REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reference (
    picture TEXT NOT NULL, address TEXT NOT NULL, PRIMARY KEY (picture, address)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS panel_used ON panel (used);
"""


class Kept(NamedTuple):
    """One panel of the index. pinned: until when it must stay; 0: it may go."""

    address: str
    bytes: int
    used: float
    pinned: float


class Index:
    """Rows of kept panels; every method is one transaction and may be called by any thread."""

    def __init__(self, path: Path) -> None:
        """path: of the file, made with its folder if needed. Raises OSError, sqlite3.Error."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        self._rows.execute("PRAGMA journal_mode = WAL")
        # After a crash of the machine the last uses may be lost, never the file's form.
        self._rows.execute("PRAGMA synchronous = NORMAL")
        self._rows.executescript(_SCHEMA)

    def put(self, kept: Kept, pictures: Iterable[str] = ()) -> None:
        """Add or replace a panel; pictures: SHA-256 of the references that it was drawn from."""
        with self._lock, closing(self._rows.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                cursor.execute("INSERT OR REPLACE INTO panel VALUES (?, ?, ?, ?)", kept)
                rows = [(picture, kept.address) for picture in pictures]
                cursor.executemany("INSERT OR IGNORE INTO reference VALUES (?, ?)", rows)
                cursor.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite has done it already where the disk is full
                    cursor.execute("ROLLBACK")
                raise

    def use(self, address: str, used: float) -> None:
        """Note that a panel was asked for."""
        self._do("UPDATE panel SET used = ? WHERE address = ?", (used, address))

    def pin(self, address: str, until: float) -> None:
        """Keep a panel at least until then; 0: let it go."""
        self._do("UPDATE panel SET pinned = ? WHERE address = ?", (until, address))

    def drop(self, address: str) -> None:
        """Forget a panel."""
        self._do("DELETE FROM panel WHERE address = ?", (address,))
        self._do("DELETE FROM reference WHERE address = ?", (address,))

    def clear(self) -> None:
        """Forget all panels."""
        self._do("DELETE FROM panel")
        self._do("DELETE FROM reference")

    def find(self, address: str) -> Kept | None:
        """One panel."""
        rows = self._do(
            "SELECT address, bytes, used, pinned FROM panel WHERE address = ?", (address,)
        )
        return Kept(*rows[0]) if rows else None

    def all(self) -> list[Kept]:
        """Every panel, the one that was used longest ago first."""
        rows = self._do("SELECT address, bytes, used, pinned FROM panel ORDER BY used, address")
        return [Kept(*row) for row in rows]

    def drawn_from(self, picture: str) -> list[str]:
        """Addresses of panels that were drawn from a reference, by the SHA-256 of its file."""
        rows = self._do("SELECT address FROM reference WHERE picture = ?", (picture,))
        return [row[0] for row in rows]

    def count(self) -> int:
        """Number of panels."""
        return int(self._do("SELECT count(*) FROM panel")[0][0])

    def bytes(self) -> int:
        """Of all panels."""
        return int(self._do("SELECT coalesce(sum(bytes), 0) FROM panel")[0][0])

    def pinned_bytes(self, now: float) -> int:
        """Of those that must stay."""
        sql = "SELECT coalesce(sum(bytes), 0) FROM panel WHERE pinned > ?"
        return int(self._do(sql, (now,))[0][0])

    def oldest(self, now: float, but: str) -> Kept | None:
        """The panel that may go first: not pinned, used longest ago, and not `but`."""
        sql = (
            "SELECT address, bytes, used, pinned FROM panel WHERE pinned <= ? AND address != ? "
            "ORDER BY used, address LIMIT 1"
        )
        rows = self._do(sql, (now, but))
        return Kept(*rows[0]) if rows else None

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._rows.close()

    def _do(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[str, int, float, float]]:
        with self._lock, closing(self._rows.execute(sql, values)) as cursor:
            return cursor.fetchall()
