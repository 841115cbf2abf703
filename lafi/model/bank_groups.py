"""Packs the keys and values of all self-attention layers: one tensor for layers of one shape.

The only place that names and orders the bank's tensors. Knows layers and sizes, not tensors:
imports neither torch nor numpy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lafi.model.info import AttentionSite

BANK_MASK: Final = "bank_mask"
"""Name of the exported denoiser's input with the masks of the entries, (M, h, w)."""


@dataclass(frozen=True, slots=True)
class BankGroup:
    """Self-attention layers with one token grid and one width.

    downscale  latent cells per token along a side
    width      channels of a key
    layers     indices of the layers, ascending
    """

    downscale: int
    width: int
    layers: tuple[int, ...]

    @property
    def keys(self) -> str:
        """Name of the tensor (n, M, S, width) of this group's keys; n is its number of layers."""
        return f"bank_k_{self.downscale}_{self.width}"

    @property
    def values(self) -> str:
        """Name of the tensor (n, M, S, width) of this group's values."""
        return f"bank_v_{self.downscale}_{self.width}"

    def tokens(self, size: tuple[int, int]) -> int:
        """Tokens S of a layer at latent height and width `size`, after strided convolutions."""
        height, width = (-(-side // self.downscale) for side in size)
        return height * width

    def shape(self, entries: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Shape (n, M, S, width) of keys and of values for M entries at latent size (h, w)."""
        return len(self.layers), entries, self.tokens(size), self.width


def bank_groups(layers: Sequence[AttentionSite]) -> tuple[BankGroup, ...]:
    """The groups of a model's layers, in the order of their first layers."""
    found: dict[tuple[int, int], list[int]] = {}
    for index, layer in enumerate(layers):
        found.setdefault((layer.downscale, layer.width), []).append(index)
    return tuple(BankGroup(*shape, tuple(indices)) for shape, indices in found.items())


def bank_places(groups: Sequence[BankGroup]) -> dict[int, tuple[int, int]]:
    """Layer -> (its group, its index in the group)."""
    return {
        layer: (number, place)
        for number, group in enumerate(groups)
        for place, layer in enumerate(group.layers)
    }


def bank_tensor_names(groups: Sequence[BankGroup]) -> Iterator[str]:
    """Names of keys and values in the order of the exported graphs: k, v of each group."""
    for group in groups:
        yield group.keys
        yield group.values


def bank_shapes(
    groups: Sequence[BankGroup], entries: int, size: tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the exported denoiser's bank inputs, in order, all float32.

    entries: M. size: latent height and width of the entries.
    """
    shapes: dict[str, tuple[int, ...]] = {BANK_MASK: (entries, *size)}
    for group in groups:
        shapes[group.keys] = shapes[group.values] = group.shape(entries, size)
    return shapes


def placeholder_shapes(groups: Sequence[BankGroup]) -> dict[str, tuple[int, ...]]:
    """`bank_shapes` of the smallest possible entry: one token in the deepest layers."""
    side = max(group.downscale for group in groups)
    return bank_shapes(groups, 1, (side, side))
