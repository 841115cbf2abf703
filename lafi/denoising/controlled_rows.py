"""What control networks add to the rows of one denoiser call.

Each network runs once for all rows that it steers in this call, of all panels, and for no others.
Knows one call, not who is in flight.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lafi.conditioning.control import PanelControl
from lafi.denoising.panel_state import PanelState
from lafi.model.control_info import CONDITION, SCALE, is_residual, network_ports
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.model.input_port import TEXT, InputPort
from lafi.ports.control import ControlNetwork
from lafi.ports.engines import DenoiserBatch


class _Steered(NamedTuple):
    """Row `row` of a call, whose text has this many tokens, is steered by `control`."""

    row: int
    tokens: int
    control: PanelControl


def with_residuals(
    batch: DenoiserBatch,
    panels: Sequence[PanelState],
    networks: Mapping[str, ControlNetwork],
    info: ModelInfo,
) -> DenoiserBatch:
    """The batch with the sum of the networks' residuals in each row; itself where none acts.

    batch: as `build_batch` makes it of the panels. Rows of one text length share a call of a
    network: it takes no mask of texts.
    """
    calls: dict[tuple[str, int], list[_Steered]] = {}
    for steered in _steered(panels):
        calls.setdefault((steered.control.network, steered.tokens), []).append(steered)
    if not calls:
        return batch
    ports = input_ports(info)
    residuals = [port for port in ports if is_residual(port)]
    sums = {port.name: _zeros(port, batch["latents"]) for port in residuals}
    for (name, _), rows in calls.items():
        made = networks[name].residuals(_inputs(batch, rows, network_ports(ports)))
        places = torch.tensor([steered.row for steered in rows])
        for port, residual in zip(residuals, made, strict=True):
            sums[port.name].index_add_(0, places, _limited(residual, rows, port.downscale))
    return batch.changed(**sums)


def control_rows(panels: Sequence[PanelState]) -> int:
    """Rows of control networks in the coming call of these panels."""
    return sum(panel.rows * len(panel.steering) for panel in panels)


def _steered(panels: Sequence[PanelState]) -> Iterator[_Steered]:
    row = 0
    for panel in panels:
        for text in filter(None, (panel.unconditional, panel.text)):
            for control in panel.steering:
                yield _Steered(row, len(text[TEXT]), control)
            row += 1


def _inputs(
    batch: DenoiserBatch, rows: Sequence[_Steered], ports: Sequence[InputPort]
) -> dict[str, Tensor]:
    """A network's inputs for rows whose texts are equally long."""
    places = torch.tensor([steered.row for steered in rows])
    own = {
        CONDITION: torch.stack([steered.control.condition for steered in rows]),
        SCALE: torch.tensor([steered.control.strength for steered in rows]),
    }
    shared = {port.name: batch[port.name][places] for port in ports if port.name not in own}
    # The call's longest text may have lengthened it.
    return {**shared, TEXT: shared[TEXT][:, : rows[0].tokens], **own}


def _zeros(port: InputPort, latents: Tensor) -> Tensor:
    rows, _, height, width = latents.shape
    return torch.zeros(port.shape({"rows": rows, "height": height, "width": width}))


def _limited(residual: Tensor, rows: Sequence[_Steered], downscale: int) -> Tensor:
    """residual (B, C, h, w), weighed by each row's region, which has `downscale` times its size."""
    if all(steered.control.region is None for steered in rows):
        return residual
    everywhere = torch.ones([downscale * side for side in residual.shape[-2:]])
    regions = [
        everywhere if steered.control.region is None else steered.control.region for steered in rows
    ]
    return residual * F.avg_pool2d(torch.stack(regions)[:, None], downscale)
