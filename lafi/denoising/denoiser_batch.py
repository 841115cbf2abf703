"""The rows of one denoiser call, made of panels and of the references that they read.

Knows one call, not who is in flight.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lafi.conditioning.reference import Source
from lafi.conditioning.routing import NOTHING, Reading, routing_ports
from lafi.denoising.panel_state import PanelState
from lafi.model.families.registry import family_of, input_ports
from lafi.model.info import ModelInfo
from lafi.model.input_port import TEXT, TEXT_MASK, TOKENS, InputPort
from lafi.ports.bank_entry import BankInputs
from lafi.ports.denoiser_tensors import TORCH_DTYPES, reference_ports
from lafi.ports.engines import DenoiserBatch, ReferenceBatch
from lafi.sampling.noise_model import NoiseModel


class _Row(NamedTuple):
    """One row: its inputs by name, each without the batch, and what it reads."""

    ports: Mapping[str, Tensor]
    reading: Reading = NOTHING


def build_batch(
    panels: Sequence[PanelState],
    sources: Sequence[Source],
    process: NoiseModel,
    info: ModelInfo,
    *,
    kept: Sequence[Source] = (),
    bank: BankInputs | None = None,
    padding: int = 0,
) -> DenoiserBatch:
    """Rows: of each panel the one without prompt, then the one with it; then the references.

    panels: of one latent size. sources: what the panels read at their coming step, a row each.
    kept: what they read from the bank instead, entry by entry of `bank`.
    padding: copies of the last row at the end, which read nothing and are read by no row.
    """
    size = (panels[0].latents.shape[-2], panels[0].latents.shape[-1])
    first_source = sum(panel.rows for panel in panels)
    bank_start = first_source + len(sources) + padding
    place = {source: first_source + i for i, source in enumerate(sources)}
    place |= {source: bank_start + i for i, source in enumerate(kept)}
    everywhere = torch.ones(size)
    rows = [
        row
        for panel in panels
        for row in _panel_rows(panel, _reading(panel, place, process), everywhere)
    ]
    rows += [_source_row(source, process) for source in sources]
    ports = input_ports(info)
    rows += [_idle(rows[-1], ports) for _ in range(padding)]
    routing = routing_ports([row.reading for row in rows], len(info.layers), size, len(kept))
    return DenoiserBatch(_stacked(rows, ports, _conditions(info, size)) | routing, bank)


def build_reference_batch(
    sources: Sequence[Source], process: NoiseModel, info: ModelInfo
) -> ReferenceBatch:
    """References of one latent size, to have their keys and values computed."""
    rows = [_source_row(source, process) for source in sources]
    masks = [source.reference.mask for source in sources]
    ports = reference_ports(input_ports(info))
    conditions = _conditions(info, (masks[0].shape[0], masks[0].shape[1]))
    return ReferenceBatch(_stacked(rows, ports, conditions), torch.stack(masks))


def _idle(row: _Row, ports: Sequence[InputPort]) -> _Row:
    """A copy that reads nothing, so it has none of the inputs that only readers have."""
    unused = {port.name for port in ports if port.reading and port.optional}
    return _Row({name: value for name, value in row.ports.items() if name not in unused})


def _panel_rows(panel: PanelState, reading: Reading, mask: Tensor) -> Iterator[_Row]:
    latents = panel.schedule.scale(panel.latents)
    own = _own(latents, panel.schedule.timestep, mask)
    unconditional = panel.unconditional
    if unconditional is not None:
        reads = reading if panel.injection.both_branches else NOTHING
        yield _Row({**own, **unconditional, **panel.ports(conditional=False)}, reads)
    yield _Row({**own, **panel.text, **panel.ports(conditional=True)}, reading)


def _source_row(source: Source, process: NoiseModel) -> _Row:
    reference = source.reference
    latents = reference.at(source.timestep, process)
    return _Row({**_own(latents, source.timestep, reference.mask), **reference.text})


def _own(latents: Tensor, timestep: float, mask: Tensor) -> dict[str, Tensor]:
    """latents: as the model wants to see them. mask: where the row is read."""
    return {
        "latents": latents.float(),
        "timesteps": torch.tensor(timestep, dtype=torch.float32),
        "mask": mask,
    }


def _conditions(info: ModelInfo, size: tuple[int, int]) -> dict[str, Tensor]:
    """Size conditions, equal in all rows: references too are whole pictures of the panel's size."""
    height, width = (info.vae_scale * side for side in size)
    given = family_of(info).conditions(info, (width, height))
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in given.items()}


def _stacked(
    rows: Sequence[_Row], ports: Sequence[InputPort], conditions: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Inputs by name, each (B, ...); a row without one has its fill. One that no row has is left
    out."""
    lengths = [len(row.ports[TEXT]) for row in rows]
    given = {}
    for port in ports:
        values = [row.ports.get(port.name, conditions.get(port.name)) for row in rows]
        there = [value for value in values if value is not None]
        if there:
            shape = _row_shape(port, there, max(lengths))
            given[port.name] = torch.stack([_cell(value, shape, port) for value in values])
        elif port.name == TEXT_MASK and min(lengths) < max(lengths):
            counting = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
            given[port.name] = counting.to(TORCH_DTYPES[port.dtype])
    return given


def _row_shape(port: InputPort, there: Sequence[Tensor], tokens: int) -> tuple[int, ...]:
    """The shape of one row's input. tokens: of the longest text of the call."""
    largest = max(there, key=Tensor.numel).shape
    sizes = zip(port.row_shape, largest, strict=True)
    return tuple(tokens if axis == TOKENS else size for axis, size in sizes)


def _cell(value: Tensor | None, shape: tuple[int, ...], port: InputPort) -> Tensor:
    """One row's input in that shape: padded, or all fill where the row has none."""
    if value is not None and value.shape == shape:
        return value
    padded = torch.full(shape, port.fill, dtype=TORCH_DTYPES[port.dtype])
    if value is not None:
        # Only texts have different lengths; what is added lies behind their last token.
        padded[tuple(slice(size) for size in value.shape)] = value
    return padded


def _reading(panel: PanelState, place: Mapping[Source, int], process: NoiseModel) -> Reading:
    sources = tuple(place[source] for source in panel.readings(process))
    return Reading(
        sources=sources,
        regions=panel.injection.regions if sources or panel.needs_regions else (),
        layers=panel.injection.layers,
        bias=panel.injection.strength,
    )
