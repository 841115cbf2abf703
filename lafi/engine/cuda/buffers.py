"""Pads batches of any size to the few fixed shapes of device tensors.

Every shape costs a compiled engine a CUDA graph, but any number of panels may come. Knows sizes
and tensors, not networks.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lafi.model.engine_metadata import Shape

Sizes = tuple[int, ...]
"""The allowed sizes of one axis, ascending."""


def padded_sizes(smallest: int, tuned: int, largest: int) -> Sizes:
    """Sizes to which an axis is padded: powers of two, `smallest`, the tuned size, `largest`.

    Every size from 1 to `largest` fits one of them, and only a few CUDA graphs are needed. Padding
    less than doubles any size above the smallest.
    """
    powers = {2**i for i in range(largest.bit_length())}
    return tuple(
        sorted({size for size in powers if smallest < size < largest} | {smallest, tuned, largest})
    )


@dataclass(frozen=True, slots=True)
class Padding:
    """Which axes of which inputs are padded, to which sizes, and with which value.

    axes: input -> axis -> sizes. fill: input -> value of the cells that are added, else 0.
    rows_of: the input whose first axis counts the rows, to which every output is cut back.
    row_axes: output -> the axis of its rows, else 0.
    """

    rows_of: str
    axes: Mapping[str, Mapping[int, Sizes]]
    fill: Mapping[str, float] = field(default_factory=dict)
    row_axes: Mapping[str, int] = field(default_factory=dict)

    def shape(self, name: str, shape: Shape) -> Shape:
        """The padded shape for an input of this shape. Raises ValueError if it is too large."""
        sizes = self.axes.get(name, {})
        return tuple(
            _next(f"{name}, axis {axis}", size, sizes[axis]) if axis in sizes else size
            for axis, size in enumerate(shape)
        )

    def write(self, name: str, value: Tensor, buffer: Tensor) -> None:
        """Copy a tensor into the first cells of its buffer and fill the rest."""
        if value.shape != buffer.shape:
            buffer.fill_(self.fill.get(name, 0))
        corner = buffer[tuple(slice(0, size) for size in value.shape)]
        corner.copy_(value, non_blocking=True)

    def cut(self, name: str, buffer: Tensor, rows: int) -> Tensor:
        """The first rows of an output's buffer, without those that were added; no copy."""
        return buffer.narrow(self.row_axes.get(name, 0), 0, rows)


def _next(what: str, size: int, sizes: Sizes) -> int:
    if size > sizes[-1]:
        raise ValueError(f"{what}: got size {size}, allowed 0 to {sizes[-1]}")
    return sizes[bisect_left(sizes, size)]
