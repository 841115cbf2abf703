"""The bank: keys and values of references, computed once, kept, and read by any later batch.

A reference that is read at one fixed noise level has the same keys and values at every step and
for every panel. Knows tensors and opaque keys, not storyboards and not engines.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from lafi.conditioning.prompts import TextReading
from lafi.ports.bank_entry import BankEntry


@dataclass(frozen=True, slots=True)
class BankKey:
    """Everything that decides a reference's keys and values.

    image_sha256  of the picture's file; its fixed noise and its mask follow from it
    caption       the character's text
    reading       how the text is encoded
    timestep      at which the reference is read
    size          latent height and width
    weights       hash of the model's weights
    engine        runtime and precision that computed them
    variant       name of the model variant, "" for none
    """

    image_sha256: str
    caption: str
    reading: TextReading
    timestep: float
    size: tuple[int, int]
    weights: str
    engine: str = ""
    variant: str = ""


class BankStats(NamedTuple):
    """What a bank holds now, and what it has counted since it was made."""

    entries: int
    bytes: int
    hits: int
    misses: int
    evictions: int


class Bank:
    """Entries by key, at most `max_bytes` of them; the least recently used are dropped first.

    Threads may share it. An entry that was handed out stays whole as long as somebody holds it,
    also after the bank has let it go; its bytes are no longer counted then.
    """

    def __init__(self, max_bytes: int) -> None:
        """max_bytes: bytes of all tensors; 0 keeps nothing. Raises ValueError below 0."""
        if max_bytes < 0:
            raise ValueError(f"max_bytes: got {max_bytes}, allowed 0 or more")
        self.max_bytes = max_bytes
        self._entries: OrderedDict[BankKey, BankEntry] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0
        self._evictions = 0
        self._lock = threading.Lock()

    def get(self, key: BankKey) -> BankEntry | None:
        """The entry, which is now the most recently used, or None; counts a hit or a miss."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._misses += 1
                return None
            self._hits += 1
            self._entries.move_to_end(key)
            return entry

    def put(self, key: BankKey, entry: BankEntry) -> bool:
        """Keep an entry as the most recently used, in place of an earlier one of this key.

        False, and nothing else changes, for one that is larger than the whole bank.
        """
        size = entry.nbytes
        if size > self.max_bytes:
            return False
        with self._lock:
            earlier = self._entries.pop(key, None)
            self._bytes += size - (earlier.nbytes if earlier else 0)
            self._entries[key] = entry
            while self._bytes > self.max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.nbytes
                self._evictions += 1
        return True

    def stats(self) -> BankStats:
        """A consistent count, at this moment."""
        with self._lock:
            return BankStats(
                len(self._entries), self._bytes, self._hits, self._misses, self._evictions
            )
