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
from lafi.model.info import ModelInfo
from lafi.model.input_port import NOWHERE
from lafi.ports.bank_entry import BankEntry, stack_bank
from lafi.ports.engines import DenoiserBatch, EncodedText, ReferenceBatch
from lafi.sampling.noise_model import NoiseModel


class _Row(NamedTuple):
    """One row: latents as the model wants to see them, and what it reads; mask where it is read.

    words (T,) int32: the slot that limits each token of its text, or -1; None limits none.
    """

    latents: Tensor
    timestep: float
    text: EncodedText
    reading: Reading
    mask: Tensor
    words: Tensor | None = None


def build_batch(
    panels: Sequence[PanelState],
    sources: Sequence[Source],
    process: NoiseModel,
    info: ModelInfo,
    *,
    kept: Mapping[Source, BankEntry] | None = None,
    padding: int = 0,
) -> DenoiserBatch:
    """Rows: of each panel the one without prompt, then the one with it; then the references.

    panels: of one latent size. sources: what the panels read at their coming step, a row each.
    kept: what they read from the bank instead, an entry each.
    padding: copies of the last row at the end, which read nothing and are read by nobody.
    """
    kept = kept or {}
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
    rows += [rows[-1]._replace(reading=Reading(), words=None)] * padding
    table = build_table([row.reading for row in rows], len(info.layers), size, len(kept))
    return DenoiserBatch(
        latents=torch.stack([row.latents for row in rows]).float(),
        timesteps=torch.tensor([row.timestep for row in rows], dtype=torch.float32),
        text=torch.stack([row.text.hidden for row in rows]),
        routes=table.routes,
        bias=table.bias,
        mask=torch.stack([row.mask for row in rows]),
        region=table.region,
        pooled=_stacked_pooled([row.text for row in rows]),
        time_ids=_time_ids(len(rows), size, info),
        words=_stacked_words(rows),
        bank=stack_bank([*kept.values()]) if kept else None,
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
        text=torch.stack([row.text.hidden for row in rows]),
        mask=torch.stack([row.mask for row in rows]),
        pooled=_stacked_pooled([row.text for row in rows]),
        time_ids=_time_ids(len(rows), size, info),
    )


def _panel_rows(panel: PanelState, reading: Reading, mask: Tensor) -> Iterator[_Row]:
    latents, timestep = panel.schedule.scale(panel.latents), panel.schedule.timestep
    if panel.unconditional is not None:
        own = reading if panel.injection.both_branches else Reading()
        yield _Row(latents, timestep, panel.unconditional, own, mask)
    yield _Row(latents, timestep, panel.text, reading, mask, panel.words)


def _source_row(source: Source, process: NoiseModel) -> _Row:
    reference = source.reference
    latents = reference.at(source.timestep, process)
    return _Row(latents, source.timestep, reference.text, Reading(), reference.mask)


def _stacked_pooled(text: Sequence[EncodedText]) -> Tensor | None:
    pooled = [row.pooled for row in text if row.pooled is not None]
    return torch.stack(pooled) if pooled else None


def _stacked_words(rows: Sequence[_Row]) -> Tensor | None:
    """(B, T) int32; None where no row has limited words."""
    given = [row.words for row in rows if row.words is not None]
    if not given:
        return None
    unlimited = torch.full_like(given[0], NOWHERE)
    return torch.stack([unlimited if row.words is None else row.words for row in rows])


def _time_ids(rows: int, size: tuple[int, int], info: ModelInfo) -> Tensor | None:
    """Every row, references too, is a whole picture of the panel's size."""
    if not info.pooled_width:
        return None
    height, width = (info.vae_scale * side for side in size)
    return torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32).repeat(rows, 1)


def _reading(panel: PanelState, place: Mapping[Source, int], process: NoiseModel) -> Reading:
    sources = tuple(place[source] for source in panel.readings(process))
    return Reading(
        sources=sources,
        regions=panel.injection.regions if sources or panel.words is not None else (),
        layers=panel.injection.layers,
        bias=panel.injection.strength,
    )
