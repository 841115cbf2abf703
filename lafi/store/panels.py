"""`PanelStore`: finished panels by content address, of bounded size.

What was used longest ago goes first, but for panels that their storyboard has not acknowledged:
they stay for a day. A damaged file is noticed by its hash, and is as good as none.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lafi.store.index import Index, Kept
from lafi.store.place import LEASES, Place, open_place
from lafi.store.record import DamagedError, Record, unpacked

PINNED_SECONDS: Final = 24 * 3600.0
"""How long a panel stays that was not acknowledged."""
RETENTION_SECONDS: Final = 7 * 24 * 3600.0
"""How long a panel stays that nobody asks for."""
STORE_BYTES: Final = 4 * 2**30
INDEX_FILE: Final = "panels.sqlite"

_log = logging.getLogger(__name__)


class StoreError(RuntimeError):
    """A panel cannot be kept now; trying again later may succeed."""

    retryable = True


class StoreFullError(StoreError):
    """There is no room, and nothing that may go."""


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counts since the start, and what is kept now."""

    panels: int = 0
    bytes: int = 0
    pinned_bytes: int = 0
    hits: int = 0
    misses: int = 0
    damaged: int = 0
    evictions: int = 0
    errors: int = 0
    max_bytes: int = 0


class PanelStore:
    """Keeps records; every method may be called by any thread.

    Several servers may share the place: each counts what it wrote or read itself, and drops no
    other's.
    """

    def __init__(
        self,
        place: Place,
        index: Index,
        *,
        max_bytes: int = STORE_BYTES,
        retention: float = RETENTION_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """max_bytes: of all records. retention: seconds without use after which one goes.

        clock: seconds since 1970.
        """
        if max_bytes < 1 or retention <= 0:
            raise ValueError(
                f"store: got {max_bytes} bytes and {retention:g} s, allowed: more than 0 of each"
            )
        self._place = place
        self._index = index
        self._max_bytes = max_bytes
        self._retention = retention
        self._clock = clock
        self._hits = self._misses = self._damaged = self._evictions = self._errors = 0

    def get(self, address: str) -> Record | None:
        """The panel of an address; None if there is none, or a damaged one, which is removed.

        None, too, where the place cannot be read: then the panel is drawn.
        """
        try:
            data = self._place.read(_name(address))
        except OSError:
            _log.exception("the store cannot be read")
            self._errors += 1
            return None
        if data is None:
            self._misses += 1
            self._index.drop(address)
            return None
        try:
            record = unpacked(data, address)
        except DamagedError as error:
            _log.warning("a stored panel is drawn anew: %s", error)
            self._damaged += 1
            self.remove([address])
            return None
        self._hits += 1
        if self._index.find(address) is None:
            self._enter(record, len(data), pinned=0.0)
        else:
            self._index.use(address, self._clock())
        return record

    def put(self, record: Record, *, pinned: float = PINNED_SECONDS) -> None:
        """Keep a panel; when this returns it is durable.

        pinned: seconds that it stays in any case, until it is acknowledged. Raises StoreError where
        it cannot be written, and StoreFullError where panels that must stay take all the room.
        """
        data, address = record.packed(), record.facts.address
        try:
            self.make_room(len(data), but=address)
            self._place.write(_name(address), data)
            self._enter(record, len(data), self._clock() + pinned)
        except (OSError, sqlite3.Error) as error:
            self._errors += 1
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise StoreError(f"a finished panel could not be kept: {reason}") from error

    def acknowledge(self, addresses: Iterable[str]) -> None:
        """Their client has these panels: they may go when there is no room."""
        for address in addresses:
            self._index.pin(address, 0.0)

    def pin(self, addresses: Iterable[str], seconds: float = PINNED_SECONDS) -> None:
        """Those of these panels that are kept must stay for so long, until acknowledged."""
        for address in addresses:
            self._index.pin(address, self._clock() + seconds)

    @property
    def place(self) -> Place:
        """Where the files lie, which other servers may share."""
        return self._place

    @property
    def max_bytes(self) -> int:
        """Of all records."""
        return self._max_bytes

    def missing_room(self, wanted: Mapping[str, int]) -> int:
        """Bytes that these panels would add to those that must stay.

        wanted: the most bytes by address, for those that are not kept yet.
        """
        now, more = self._clock(), 0
        for address, most in wanted.items():
            kept = self._index.find(address)
            if kept is None:
                more += most
            elif kept.pinned <= now:
                more += kept.bytes
        return more

    def remove(self, addresses: Iterable[str]) -> None:
        """Erase panels, pinned or not."""
        for address in addresses:
            self._place.remove(_name(address))
            self._index.drop(address)

    def forget(self, picture: str) -> int:
        """Erase all panels that were drawn from a reference; returns how many.

        picture: SHA-256 of its file. Raises OSError where the place cannot be read.
        """
        for _ in self._unknown():
            pass
        addresses = self._index.drawn_from(picture)
        self.remove(addresses)
        return len(addresses)

    def make_room(self, more: int, but: str = "") -> None:
        """Drop what is older than the retention, and what is used least until `more` bytes fit.

        Raises StoreFullError.
        """
        now = self._clock()
        while (oldest := self._index.oldest(now, but)) is not None:
            if now - oldest.used < self._retention and self._fits(more, but):
                return
            self.remove([oldest.address])
            self._evictions += 1
        if not self._fits(more, but):
            raise StoreFullError(
                f"the store is full: it may hold {self._max_bytes} bytes, and panels that were "
                f"not acknowledged yet take {self._index.pinned_bytes(now)}; try again later"
            )

    def check(self) -> Iterator[tuple[str, str]]:
        """Read every file; those that are damaged, with what is wrong. Enters what it did not know.

        Nothing is removed.
        """
        for name, _ in self._place.names():
            if name.startswith(LEASES):
                continue
            address = name.rpartition("/")[2]
            try:
                record = unpacked(self._place.read(name) or b"", address)
            except DamagedError as error:
                yield address, str(error)
                continue
            if self._index.find(address) is None:
                self._enter(record, len(record.packed()), pinned=0.0)

    def _unknown(self) -> Iterator[str]:
        """Enter what other servers put here; damaged files among it are left alone."""
        known = {kept.address for kept in self._index.all()}
        for name, size in self._place.names():
            address = name.rpartition("/")[2]
            if address in known or name != _name(address):
                continue
            with suppress(DamagedError):
                record = unpacked(self._place.read(name) or b"", address)
                self._enter(record, size, pinned=0.0)
                yield address

    def all(self) -> list[Kept]:
        """Every panel that this server knows of, the one used longest ago first."""
        return self._index.all()

    def empty(self) -> int:
        """Erase everything, unknown files too; returns how many."""
        names = [name for name, _ in self._place.names()]
        for name in names:
            self._place.remove(name)
        self._index.clear()
        return len(names)

    def stats(self) -> StoreStats:
        """What is kept, and counts since the start."""
        return StoreStats(
            panels=self._index.count(),
            bytes=self._index.bytes(),
            pinned_bytes=self._index.pinned_bytes(self._clock()),
            hits=self._hits,
            misses=self._misses,
            damaged=self._damaged,
            evictions=self._evictions,
            errors=self._errors,
            max_bytes=self._max_bytes,
        )

    def close(self) -> None:
        """Let the files go."""
        self._index.close()

    def _fits(self, more: int, but: str) -> bool:
        replaced = self._index.find(but)
        held = self._index.bytes() - (replaced.bytes if replaced is not None else 0)
        return held + more <= self._max_bytes

    def _enter(self, record: Record, size: int, pinned: float) -> None:
        kept = Kept(record.facts.address, size, self._clock(), pinned)
        self._index.put(kept, record.facts.references)


def open_store(
    url: str,
    state: Path,
    *,
    max_bytes: int = STORE_BYTES,
    retention: float = RETENTION_SECONDS,
) -> PanelStore:
    """The store at a folder or URL. state: a folder of this server's own for the index.

    Raises ValueError, OSError and sqlite3.Error.
    """
    index = Index(state / INDEX_FILE)
    return PanelStore(open_place(url), index, max_bytes=max_bytes, retention=retention)


def _name(address: str) -> str:
    """In 256 folders, since one with a million files is slow to list."""
    return f"{address[:2]}/{address}"
