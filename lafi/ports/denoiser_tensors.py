"""A `DenoiserBatch` as tensors by name, in the order of the exported denoiser's inputs, and back.

An exported denoiser takes one bank entry or more: OpenVINO 2026.4 gives empty or wrong outputs,
without an error, for inputs without elements. So a call without a bank gets a placeholder, one
entry of the smallest size that no route names. One that limits no words gets -1 for all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from lafi.model.bank_groups import BANK_MASK, BankGroup, placeholder_shapes
from lafi.model.input_port import NOWHERE
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

ROWS: Final = ("latents", "timesteps", "text", "routes", "bias", "mask", "region", "words")
INT32: Final = ("routes", "words")
"""Those of them that are no float32."""
ADDED: Final = ("pooled", "time_ids")
"""Fields of `DenoiserBatch` that every model takes, and those that only SDXL's takes."""
REFERENCE_ROWS: Final = ("latents", "timesteps", "text")


def denoiser_tensors(batch: DenoiserBatch, groups: Sequence[BankGroup]) -> dict[str, Tensor]:
    """Every input of the exported denoiser, sharing memory with the batch.

    groups: the model's, as `lafi.model.bank_groups.bank_groups` gives them.
    """
    bank = batch.bank if batch.bank is not None else placeholder(groups, batch.latents.device)
    rows = _fields(batch, (*ROWS, *ADDED))
    rows.setdefault("words", unlimited_words(batch.text))
    return rows | dict(_bank_tensors(bank, groups))


def unlimited_words(text: Tensor) -> Tensor:
    """text (B, T, D) -> (B, T) int32 of -1: every word acts everywhere."""
    return torch.full(text.shape[:2], NOWHERE, dtype=torch.int32, device=text.device)


def batch_of_tensors(tensors: Mapping[str, Tensor], groups: Sequence[BankGroup]) -> DenoiserBatch:
    """The batch whose tensors these are; their order does not matter."""
    rows = {name: tensors[name] for name in (*ROWS, *ADDED) if name in tensors}
    return DenoiserBatch(**rows, bank=_bank_of(tensors, groups))


def reference_tensors(batch: ReferenceBatch) -> dict[str, Tensor]:
    """Every input of the exported reference graph; the mask is none of them."""
    return _fields(batch, (*REFERENCE_ROWS, *ADDED))


def placeholder(groups: Sequence[BankGroup], device: torch.device) -> BankInputs:
    """One entry of the smallest size, all zeros."""
    shapes = placeholder_shapes(groups)
    return _bank_of({name: torch.zeros(s, device=device) for name, s in shapes.items()}, groups)


def _fields(batch: DenoiserBatch | ReferenceBatch, names: Sequence[str]) -> dict[str, Tensor]:
    values = ((name, getattr(batch, name)) for name in names)
    return {name: value for name, value in values if value is not None}


def _bank_tensors(bank: BankInputs, groups: Sequence[BankGroup]) -> Iterator[tuple[str, Tensor]]:
    yield BANK_MASK, bank.mask
    for group, keys, values in zip(groups, bank.keys, bank.values, strict=True):
        yield group.keys, keys
        yield group.values, values


def _bank_of(tensors: Mapping[str, Tensor], groups: Sequence[BankGroup]) -> BankInputs:
    return BankInputs(
        keys=tuple(tensors[group.keys] for group in groups),
        values=tuple(tensors[group.values] for group in groups),
        mask=tensors[BANK_MASK],
    )
