"""The bank: keys and values of references, computed once, kept, and read by any later batch.

A reference that is read at one fixed noise level has the same keys and values at every step and
for every panel. Knows tensors and opaque keys, not storyboards and not engines.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class BankKey:
    """Everything that decides a reference's keys and values.

    image_sha256  of the picture's file; its fixed noise and its mask follow from it
    caption       the character's text, as it is encoded
    timestep      at which the reference is read
    size          latent height and width
    weights       hash of the model's weights
    engine        runtime and precision that computed them
    variant       name of the model variant, "" for none
    """

    image_sha256: str
    caption: str
    timestep: float
    size: tuple[int, int]
    weights: str
    engine: str = ""
    variant: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class BankEntry:
    """What one reference gives to every layer that may read it.

    keys, values  for each group of `lafi.bank_groups.bank_groups` (n, S, width): n layers with S
                  tokens; in the dtype and on the device of the engine that computed them
    mask          (h, w) float32 in [0, 1] at latent size, the foreground
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    mask: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values, self.mask))


class BankInputs(NamedTuple):
    """The entries that one denoiser call may read; route B + m names entry m.

    keys, values  for each group (n, M, S, width)
    mask          (M, h, w) float32 in [0, 1]
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    mask: Tensor

    @property
    def entries(self) -> int:
        """M."""
        return len(self.mask)


class BankStats(NamedTuple):
    """What a bank holds now, and what it has counted since it was made."""

    entries: int
    bytes: int
    hits: int
    misses: int
    evictions: int


class Bank:
    """Entries by key, at most `max_bytes` of them; the least recently used are let go first.

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


def stack_bank(entries: Sequence[BankEntry]) -> BankInputs:
    """Entries of one model and one latent size, packed for a denoiser call.

    A single entry is not copied. Raises ValueError for none, or for entries of different shapes.
    """
    if not entries:
        raise ValueError("entries: got none, allowed 1 or more; a call without a bank has None")
    first = entries[0]
    for number, entry in enumerate(entries):
        _check_alike(number, entry, first)
    return BankInputs(
        keys=tuple(_stacked(tensors) for tensors in zip(*(e.keys for e in entries), strict=True)),
        values=tuple(
            _stacked(tensors) for tensors in zip(*(e.values for e in entries), strict=True)
        ),
        mask=torch.stack([entry.mask for entry in entries]),
    )


def split_bank(bank: BankInputs) -> tuple[BankEntry, ...]:
    """The entries of a pack, each with memory of its own, so that letting one go frees it."""
    alone = bank.entries == 1
    return tuple(
        BankEntry(
            keys=tuple(_part(keys, m, alone) for keys in bank.keys),
            values=tuple(_part(values, m, alone) for values in bank.values),
            mask=bank.mask[m].clone(),
        )
        for m in range(bank.entries)
    )


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """(n, S, width) of each of M entries -> (n, M, S, width)."""
    return tensors[0].unsqueeze(1) if len(tensors) == 1 else torch.stack(tuple(tensors), dim=1)


def _part(packed: Tensor, entry: int, alone: bool) -> Tensor:
    part = packed[:, entry]
    return part if alone else part.clone(memory_format=torch.contiguous_format)


def _check_alike(number: int, entry: BankEntry, first: BankEntry) -> None:
    for name in ("keys", "values"):
        got = [tuple(tensor.shape) for tensor in getattr(entry, name)]
        allowed = [tuple(tensor.shape) for tensor in getattr(first, name)]
        if got != allowed:
            raise ValueError(
                f"entries[{number}].{name}: got {got}, allowed {allowed} as in entries[0]"
            )
    if entry.mask.shape != first.mask.shape:
        size, wanted = tuple(entry.mask.shape), tuple(first.mask.shape)
        raise ValueError(f"entries[{number}].mask: got {size}, allowed {wanted} as in entries[0]")
