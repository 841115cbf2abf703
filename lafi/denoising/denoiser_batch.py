"""The rows of one denoiser call, made of panels and of the references that they read.

Knows one call, not who is in flight.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lafi.conditioning.reference import Source
from lafi.conditioning.routing import Reading, build_table
from lafi.denoising.panel_state import PanelState
from lafi.model.families.registry import family_of, input_ports
from lafi.model.info import ModelInfo
from lafi.model.input_port import CORE, InputPort
from lafi.ports.bank_entry import BankInputs
from lafi.ports.denoiser_tensors import TORCH_DTYPES, reference_ports
from lafi.ports.engines import DenoiserBatch, ReferenceBatch
from lafi.sampling.noise_model import NoiseModel


class _Row(NamedTuple):
    """One row: latents as the model wants to see them, and what it reads; mask where it is read.

    ports: what the row has of inputs that are not of the core, by name, each without the batch.
    """

    latents: Tensor
    timestep: float
    text: Tensor
    reading: Reading
    mask: Tensor
    ports: Mapping[str, Tensor]


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
    table = build_table([row.reading for row in rows], len(info.layers), size, len(kept))
    return DenoiserBatch(
        latents=torch.stack([row.latents for row in rows]).float(),
        timesteps=torch.tensor([row.timestep for row in rows], dtype=torch.float32),
        text=torch.stack([row.text for row in rows]),
        routes=table.routes,
        bias=table.bias,
        mask=torch.stack([row.mask for row in rows]),
        region=table.region,
        ports=_stacked(rows, ports, _conditions(info, size)),
        bank=bank,
    )


def build_reference_batch(
    sources: Sequence[Source], process: NoiseModel, info: ModelInfo
) -> ReferenceBatch:
    """References of one latent size, to have their keys and values computed."""
    rows = [_source_row(source, process) for source in sources]
    size = (rows[0].latents.shape[-2], rows[0].latents.shape[-1])
    return ReferenceBatch(
        latents=torch.stack([row.latents for row in rows]).float(),
        timesteps=torch.tensor([row.timestep for row in rows], dtype=torch.float32),
        text=torch.stack([row.text for row in rows]),
        mask=torch.stack([row.mask for row in rows]),
        ports=_stacked(rows, reference_ports(input_ports(info)), _conditions(info, size)),
    )


def _idle(row: _Row, ports: Sequence[InputPort]) -> _Row:
    """A copy that reads nothing, so it has none of the inputs that only readers have."""
    reading = {port.name for port in ports if port.reading}
    given = {name: value for name, value in row.ports.items() if name not in reading}
    return row._replace(reading=Reading(), ports=given)


def _panel_rows(panel: PanelState, reading: Reading, mask: Tensor) -> Iterator[_Row]:
    latents, timestep = panel.schedule.scale(panel.latents), panel.schedule.timestep
    unconditional = panel.unconditional
    if unconditional is not None:
        own = reading if panel.injection.both_branches else Reading()
        ports = {**unconditional.ports, **panel.ports(conditional=False)}
        yield _Row(latents, timestep, unconditional.hidden, own, mask, ports)
    ports = {**panel.text.ports, **panel.ports(conditional=True)}
    yield _Row(latents, timestep, panel.text.hidden, reading, mask, ports)


def _source_row(source: Source, process: NoiseModel) -> _Row:
    reference = source.reference
    latents = reference.at(source.timestep, process)
    text = reference.text
    return _Row(latents, source.timestep, text.hidden, Reading(), reference.mask, text.ports)


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
    given = {}
    for port in ports:
        if port.name in CORE:
            continue
        values = [row.ports.get(port.name, conditions.get(port.name)) for row in rows]
        like = next((value for value in values if value is not None), None)
        if like is not None:
            unused = torch.full_like(like, port.fill, dtype=TORCH_DTYPES[port.dtype])
            given[port.name] = torch.stack([unused if x is None else x for x in values])
    return given


def _reading(panel: PanelState, place: Mapping[Source, int], process: NoiseModel) -> Reading:
    sources = tuple(place[source] for source in panel.readings(process))
    return Reading(
        sources=sources,
        regions=panel.injection.regions if sources or panel.needs_regions else (),
        layers=panel.injection.layers,
        bias=panel.injection.strength,
    )
