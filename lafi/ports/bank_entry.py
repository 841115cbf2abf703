"""Bank entries: what one reference gives to every layer, alone and packed for a call.

Knows tensors, not who keeps them and not which engine computed them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class BankEntry:
    """What one reference gives to every layer that may read it.

    keys, values  for each group of `bank_groups` (n, S, width): n layers with S
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
