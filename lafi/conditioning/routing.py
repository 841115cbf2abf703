"""Which rows read which references, in which layers, at which step.

Routes are values that are built for every denoiser call and passed to it; nothing here is kept
from one step to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from lafi.model.input_port import NOWHERE


@dataclass(frozen=True, slots=True)
class Reading:
    """What one row reads in one denoiser call.

    sources      the references: [0, B) a row of the same batch, B + m entry m of its bank
    regions      (h, w) float32 in [0, 1] for each slot: where in this row its reference may be read
                 and its words act; the sources are in the first slots
    layers       indices of the self-attention layers in which it reads
    bias         added to the logits of every source
    """

    sources: tuple[int, ...] = ()
    regions: tuple[Tensor, ...] = ()
    layers: tuple[int, ...] = ()
    bias: float = 0.0


NOTHING: Final = Reading()


def routing_ports(
    readings: Sequence[Reading], layers: int, size: tuple[int, int], bank: int = 0
) -> dict[str, Tensor]:
    """The denoiser's inputs that say what each row reads: row b reads `readings[b]`.

    `routes` (L, B, R) int32, `bias` (B, R) float32, `region` (B, R, h, w) float32; R is 1 or more.
    layers: number of self-attention layers, L. size: latent height and width (h, w).
    bank: entries of the batch's bank, M.
    Raises ValueError where a source is neither a row of the batch nor an entry of its bank.
    """
    rows = len(readings)
    slots = max([1, *(len(reading.regions) for reading in readings)])
    routes = torch.full((layers, rows, slots), NOWHERE, dtype=torch.int32)
    bias = torch.zeros(rows, slots)
    region = torch.ones(rows, slots, *size)
    for row, reading in enumerate(readings):
        if len(reading.sources) > len(reading.regions):
            got, allowed = len(reading.regions), len(reading.sources)
            raise ValueError(f"regions of row {row}: got {got}, allowed {allowed} or more")
        for slot, weights in enumerate(reading.regions):
            region[row, slot] = weights
        layers_read = torch.tensor(reading.layers, dtype=torch.int64)
        for slot, source in enumerate(reading.sources):
            if not 0 <= source < rows + bank:
                raise ValueError(
                    f"sources[{slot}] of row {row}: got {source}, allowed 0 to {rows + bank - 1}"
                )
            routes[layers_read, row, slot] = source
            bias[row, slot] = reading.bias
    return {"routes": routes, "bias": bias, "region": region}


def region_weights(box: tuple[float, float, float, float], size: tuple[int, int]) -> Tensor:
    """How much of each latent cell lies in the box, (h, w) float32 in [0, 1].

    box: (x0, y0, x1, y1) as fractions of width and height from the upper left corner.
    """
    x0, y0, x1, y1 = box
    height, width = size
    return torch.outer(_covered(y0, y1, height), _covered(x0, x1, width))


def _covered(low: float, high: float, cells: int) -> Tensor:
    """Share of each of `cells` equal cells of [0, 1] that lies in [low, high]."""
    edges = torch.arange(cells + 1, dtype=torch.float64)
    start = edges[:-1].clamp(min=low * cells)
    stop = edges[1:].clamp(max=high * cells)
    return (stop - start).clamp(min=0.0, max=1.0).float()
