"""A `DenoiserBatch` as tensors by name, in the order of the exported denoiser's inputs, and back.

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
from lafi.model.input_port import CORE, REFERENCES, ROWS, InputPort
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

TORCH_DTYPES: Final = {"FP32": torch.float32, "INT32": torch.int32}


def denoiser_tensors(
    batch: DenoiserBatch, ports: Sequence[InputPort], groups: Sequence[BankGroup]
) -> dict[str, Tensor]:
    """Every input of the exported denoiser, sharing memory with the batch where it has them.

    ports: the model's. groups: as `lafi.model.bank_groups.bank_groups` gives them.
    Raises ValueError for a batch without an input that is not optional.
    """
    rows = {port.name: _tensor(batch, port) for port in ports}
    bank = batch.bank if batch.bank is not None else placeholder(groups, batch.latents.device)
    return rows | dict(_bank_tensors(bank, groups))


def batch_of_tensors(tensors: Mapping[str, Tensor], groups: Sequence[BankGroup]) -> DenoiserBatch:
    """The batch whose tensors these are; their order does not matter."""
    bank = _bank_of(tensors, groups)
    known = {*CORE, BANK_MASK, *bank_tensor_names(groups)}
    others = {name: tensor for name, tensor in tensors.items() if name not in known}
    return DenoiserBatch(**{name: tensors[name] for name in CORE}, ports=others, bank=bank)


def reference_ports(ports: Sequence[InputPort]) -> tuple[InputPort, ...]:
    """Those of the ports that a reference has which is computed alone."""
    return tuple(port for port in ports if not port.reading)


def reference_tensors(batch: ReferenceBatch, ports: Sequence[InputPort]) -> dict[str, Tensor]:
    """Every input of the exported reference graph; the mask is none of them."""
    return {port.name: _tensor(batch, port) for port in reference_ports(ports)}


def reference_of_tensors(tensors: Mapping[str, Tensor]) -> ReferenceBatch:
    """The batch whose tensors these are; its mask, which no engine reads, is a part of them."""
    core = {name: tensors[name] for name in ("latents", "timesteps", "text")}
    others = {name: tensor for name, tensor in tensors.items() if name not in core}
    return ReferenceBatch(**core, mask=tensors["latents"][:, 0], ports=others)


def filled(port: InputPort, sizes: Mapping[str, int], device: torch.device) -> Tensor:
    """An input that no row uses: one value, spread over its shape without a copy."""
    value = torch.tensor(port.fill, dtype=TORCH_DTYPES[port.dtype], device=device)
    return value.expand(port.shape(sizes))


def placeholder(groups: Sequence[BankGroup], device: torch.device) -> BankInputs:
    """One entry of the smallest size, all zeros."""
    shapes = placeholder_shapes(groups)
    return _bank_of({name: torch.zeros(s, device=device) for name, s in shapes.items()}, groups)


def _tensor(batch: DenoiserBatch | ReferenceBatch, port: InputPort) -> Tensor:
    if port.name in CORE:
        tensor: Tensor = getattr(batch, port.name)
        return tensor
    if port.name in batch.ports:
        return batch.ports[port.name]
    if not port.optional:
        raise ValueError(f"{port.name}: got no such input, allowed one of axes {port.axes}")
    rows, _, height, width = batch.latents.shape
    sizes = {ROWS: rows, "height": height, "width": width}
    if isinstance(batch, DenoiserBatch):
        sizes[REFERENCES] = batch.bias.shape[1]
    return filled(port, sizes, batch.latents.device)


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
