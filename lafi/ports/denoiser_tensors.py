"""The inputs of the exported denoiser: those of a `DenoiserBatch`, complete and in order.

Which inputs there are, the model's ports say (`lafi.model.families.registry.input_ports`); the
bank's come last. An exported denoiser takes one bank entry or more: OpenVINO 2026.4 gives empty or
wrong outputs, without an error, for inputs without elements. So a call without a bank gets a
placeholder, one entry of the smallest size that no route names.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from lafi.model.bank_groups import BANK_MASK, BankGroup, bank_tensor_names, placeholder_shapes
from lafi.model.input_port import (
    HEIGHT,
    PICTURES,
    REFERENCES,
    ROWS,
    TOKENS,
    WIDTH,
    InputPort,
)
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch

TORCH_DTYPES: Final = {"FP32": torch.float32, "INT32": torch.int32}


def denoiser_tensors(
    batch: DenoiserBatch, ports: Sequence[InputPort], groups: Sequence[BankGroup]
) -> dict[str, Tensor]:
    """Every input of the exported denoiser, sharing memory with the batch where it has them.

    ports: the model's. groups: as `lafi.model.bank_groups.bank_groups` gives them.
    Raises ValueError for a batch without an input that is not optional.
    """
    bank = batch.bank
    if bank is None:
        bank = placeholder(groups, batch["latents"].device)
    return complete(batch.ports, ports) | dict(_bank_tensors(bank, groups))


def batch_of_tensors(tensors: Mapping[str, Tensor], groups: Sequence[BankGroup]) -> DenoiserBatch:
    """The batch whose tensors these are; their order does not matter."""
    of_bank = {BANK_MASK, *bank_tensor_names(groups)}
    ports = {name: tensor for name, tensor in tensors.items() if name not in of_bank}
    return DenoiserBatch(ports, _bank_of(tensors, groups))


def reference_ports(ports: Sequence[InputPort]) -> tuple[InputPort, ...]:
    """Those of the ports that a reference has which is computed alone."""
    return tuple(port for port in ports if not port.reading)


def complete(given: Mapping[str, Tensor], ports: Sequence[InputPort]) -> dict[str, Tensor]:
    """The inputs of a batch in the order of `ports`, with the fill for optional ones not given.

    Raises ValueError for a missing input that is not optional.
    """
    return {
        port.name: given[port.name] if port.name in given else _filled(port, given)
        for port in ports
    }


def placeholder(groups: Sequence[BankGroup], device: torch.device) -> BankInputs:
    """One entry of the smallest size, all zeros."""
    shapes = placeholder_shapes(groups)
    return _bank_of({name: torch.zeros(s, device=device) for name, s in shapes.items()}, groups)


def _filled(port: InputPort, given: Mapping[str, Tensor]) -> Tensor:
    """An input that no row uses: one value, spread over its shape without a copy.

    Of one row where that may stand for all.
    """
    if not port.optional:
        raise ValueError(f"{port.name}: got no such input, allowed one of axes {port.axes}")
    latents = given["latents"]
    rows, _, height, width = latents.shape
    sizes = {
        ROWS: 1 if port.one_row else rows,
        HEIGHT: height,
        WIDTH: width,
        TOKENS: given["text"].shape[1],
        PICTURES: 1,
    }
    if "bias" in given:
        sizes[REFERENCES] = given["bias"].shape[1]
    value = torch.tensor(port.fill, dtype=TORCH_DTYPES[port.dtype], device=latents.device)
    return value.expand(port.shape(sizes))


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
