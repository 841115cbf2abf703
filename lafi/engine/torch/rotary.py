"""Rotary positions (arXiv:2104.09864) of tokens on several axes, and where a reference stands.

A row's own attention depends on differences of positions alone. So a row may be moved as a whole,
text and picture, to where other rows shall see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lafi.model.info import ReferencePositions


def rotary_speeds(axes: Sequence[int], theta: float) -> list[list[float]]:
    """Angles per step of each axis, one for each pair of its channels."""
    return [[theta ** -(2 * i / width) for i in range(width // 2)] for width in axes]


def angles_of(positions: Tensor, speeds: Sequence[Sequence[float]]) -> Tensor:
    """positions (..., axes) float32 -> (..., d / 2) radians of a head's pairs, float32."""
    parts = [
        positions[..., axis, None] * torch.tensor(own, device=positions.device)
        for axis, own in enumerate(speeds)
    ]
    return torch.cat(parts, dim=-1)


def rotated(x: Tensor, angles: Tensor, heads: int) -> Tensor:
    """x (N, S, heads * d), pairs of channels side by side; angles (N or 1, S, d / 2) -> as x."""
    pairs = x.float().unflatten(-1, (heads, -1, 2))
    cos, sin = angles.cos()[:, :, None], angles.sin()[:, :, None]
    a, b = pairs.unbind(-1)
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
    return turned.flatten(2).to(x.dtype)


def grid_positions(high: int, wide: int, device: torch.device) -> Tensor:
    """(1, high * wide, 3) float32, row by row: 0 and a token's row and column."""
    down = torch.arange(high, device=device, dtype=torch.float32)
    along = torch.arange(wide, device=device, dtype=torch.float32)
    rows, columns = down[:, None].expand(high, wide), along[None].expand(high, wide)
    grid = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1)
    return grid.reshape(1, high * wide, 3)


def reference_shift(positions: ReferencePositions, wide: int, device: torch.device) -> Tensor:
    """(3,) float32: how far a reference's tokens are moved, on the first axis, down and along.

    wide: columns of the picture's grid.
    """
    shift = torch.zeros(3, device=device)
    if positions == "own":
        shift[0] = 1.0
    elif positions == "shifted":
        shift[2] = wide
    return shift


@dataclass(frozen=True, slots=True)
class Placing:
    """Where a model's tokens stand: its rotary axes, and the choice for references."""

    references: ReferencePositions
    speeds: Sequence[Sequence[float]]

    def angles(self, positions: Tensor) -> Tensor:
        """positions (..., axes) -> (..., d / 2)."""
        return angles_of(positions, self.speeds)

    def shifts(self, read: Tensor, wide: int) -> Tensor:
        """(B, 1, 3): how far each row is moved. read (B,) bool: the rows that others read.

        wide: columns of the picture's grid. A row is moved as a whole, text and picture, which
        changes nothing for itself.
        """
        return read[:, None, None] * reference_shift(self.references, wide, read.device)

    def of_entries(self, mask: Tensor, downscale: int) -> Tensor:
        """Angles (1, S, d / 2) at which the bank's entries are read, whose masks are (M, h, w).

        Their grid is known by their own masks: a trace would take the picture's for equal.
        """
        high, wide = (-(-side // downscale) for side in mask.shape[1:])
        shift = reference_shift(self.references, wide, mask.device)
        return self.angles(grid_positions(high, wide, mask.device) + shift)
