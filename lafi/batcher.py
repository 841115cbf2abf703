"""Step-level batching: at every step, one denoiser call over the rows of all panels in flight.

Panels join and leave between any two steps, each at its own step of its own schedule. Knows rows
and schedules, not storyboards; runs no thread and makes no server call.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lafi.engine.base import Denoiser, DenoiserBatch, EncodedText
from lafi.model_info import ModelInfo
from lafi.panel_state import PanelState
from lafi.reference import Reference
from lafi.routing import Reading, build_table
from lafi.sampling import ForwardProcess

MIN_MAX_ROWS = 6
"""The most rows that one panel can need: two of its own and four references."""

Source = tuple[Reference, float]
"""A reference at a timestep: one row, however many panels read it."""


@dataclass(frozen=True, slots=True)
class PanelStep:
    """Step `step` of `steps` of a panel is done; with `panel.done` its latents are finished."""

    panel: PanelState
    step: int
    steps: int


@dataclass(slots=True)
class _Chunk:
    """Panels of one denoiser call, and the sources that they read."""

    panels: list[PanelState] = field(default_factory=list)
    sources: dict[Source, None] = field(default_factory=dict)
    rows: int = 0

    def rows_with(self, panel: PanelState, sources: Sequence[Source]) -> int:
        return self.rows + panel.rows + sum(source not in self.sources for source in sources)

    def add(self, panel: PanelState, sources: Sequence[Source]) -> None:
        self.rows = self.rows_with(panel, sources)
        self.panels.append(panel)
        self.sources.update(dict.fromkeys(sources))


class Batcher:
    """The panels in flight. `step` moves each of them by one step of its own schedule."""

    def __init__(
        self, denoiser: Denoiser, process: ForwardProcess, info: ModelInfo, max_rows: int = 16
    ) -> None:
        """info: of the denoiser. max_rows: rows of one denoiser call."""
        if max_rows < MIN_MAX_ROWS:
            raise ValueError(f"max_rows: got {max_rows}, allowed {MIN_MAX_ROWS} or more")
        self._denoiser = denoiser
        self._process = process
        self._info = info
        self._max_rows = max_rows
        self._panels: list[PanelState] = []

    @property
    def active(self) -> int:
        """Panels that are not done."""
        return len(self._panels)

    def add(self, panel: PanelState) -> None:
        """Let a panel join at the coming step."""
        self._panels.append(panel)

    def remove(self, panel: PanelState) -> None:
        """Let a panel leave before it is done. ValueError if it is not in flight."""
        self._panels.remove(panel)

    def step(self) -> Iterator[PanelStep]:
        """One step of every panel in flight; reports each as soon as its rows are computed.

        To be read to its end before the next call, and before panels join or leave.
        """
        for chunk in self._chunks():
            prediction = self._denoiser(_build_batch(chunk, self._process, self._info))
            row = 0
            for panel in chunk.panels:
                panel.advance(prediction[row : row + panel.rows])
                row += panel.rows
            self._panels = [panel for panel in self._panels if not panel.done]
            for panel in chunk.panels:
                yield PanelStep(panel, panel.schedule.index, panel.schedule.steps)

    def _chunks(self) -> list[_Chunk]:
        """Panels in their order, those of one latent size together, at most max_rows rows each.

        A panel is in one chunk with the references that it reads.
        """
        chunks: list[_Chunk] = []
        latest: dict[torch.Size, _Chunk] = {}
        for panel in self._panels:
            sources = panel.readings(self._process)
            size = panel.latents.shape
            if size not in latest or latest[size].rows_with(panel, sources) > self._max_rows:
                latest[size] = _Chunk()
                chunks.append(latest[size])
            latest[size].add(panel, sources)
        return chunks


def _build_batch(chunk: _Chunk, process: ForwardProcess, info: ModelInfo) -> DenoiserBatch:
    """Rows: of each panel the one without prompt, then the one with it; last the references."""
    sources = tuple(chunk.sources)
    first_source = chunk.rows - len(sources)
    place = {source: first_source + i for i, source in enumerate(sources)}
    latents: list[Tensor] = []
    timesteps: list[float] = []
    text: list[EncodedText] = []
    readings: list[Reading] = []
    for panel in chunk.panels:
        reading = _reading(panel, place, process)
        latents += [panel.schedule.scale(panel.latents)] * panel.rows
        timesteps += [panel.schedule.timestep] * panel.rows
        if panel.negative is not None:
            text.append(panel.negative)
            readings.append(reading if panel.injection.both_branches else Reading())
        text.append(panel.text)
        readings.append(reading)
    for reference, timestep in sources:
        latents.append(reference.at(timestep, process))
        timesteps.append(timestep)
        text.append(reference.text)
        readings.append(Reading())
    size = (latents[0].shape[-2], latents[0].shape[-1])
    table = build_table(readings, len(info.layers), size)
    mask = torch.ones(chunk.rows, *size)
    for (reference, _), row in place.items():
        mask[row] = reference.mask
    return DenoiserBatch(
        latents=torch.stack(latents).float(),
        timesteps=torch.tensor(timesteps, dtype=torch.float32),
        text=torch.stack([row.hidden for row in text]),
        routes=table.routes,
        bias=table.bias,
        mask=mask,
        region=table.region,
        pooled=_stacked_pooled(text),
        time_ids=_time_ids(chunk.rows, size, info),
    )


def _stacked_pooled(text: Sequence[EncodedText]) -> Tensor | None:
    pooled = [row.pooled for row in text if row.pooled is not None]
    return torch.stack(pooled) if pooled else None


def _time_ids(rows: int, size: tuple[int, int], info: ModelInfo) -> Tensor | None:
    """Every row, references too, is a whole picture of the panel's size."""
    if not info.pooled_width:
        return None
    height, width = (info.vae_scale * side for side in size)
    return torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32).repeat(rows, 1)


def _reading(panel: PanelState, place: dict[Source, int], process: ForwardProcess) -> Reading:
    sources = tuple(place[source] for source in panel.readings(process))
    return Reading(
        sources=sources,
        regions=panel.injection.regions if sources else (),
        first_layer=panel.injection.first_layer,
        bias=panel.injection.strength,
    )
