"""Tile sizes of the Triton-lang attention kernel: one fixed choice per GPU, head width and dtype.

Knows numbers, not kernels: nothing here imports torch or triton.
"""

from dataclasses import dataclass
from typing import Final

ARCHITECTURES: Final = (80, 89, 90, 100)
"""Compute capabilities, major * 10 + minor, with fixed tiles of their own."""

HEAD_DIMS: Final = (40, 64, 80, 128, 160)

SHARED_MEMORY: Final = {80: 166_912, 89: 101_376, 90: 232_448, 100: 232_448}
"""Bytes of shared memory that one block may use (CUDA programming guide, compute capabilities)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The sizes of one program of the kernel.

    queries: query tokens of a program. keys: key tokens of one step of its loop.
    Both are powers of two and at least 16, as the matrix units require.
    warps: 1, 2, 4, 8 or 16. stages: loop steps whose keys and values are loaded ahead.
    """

    queries: int
    keys: int
    warps: int
    stages: int

    def __post_init__(self) -> None:
        for name in ("queries", "keys"):
            size = getattr(self, name)
            if size < 16 or size & (size - 1):
                raise ValueError(f"{name}: got {size}, allowed powers of two from 16")
        if self.warps not in (1, 2, 4, 8, 16):
            raise ValueError(f"warps: got {self.warps}, allowed 1, 2, 4, 8 or 16")
        if self.stages < 1:
            raise ValueError(f"stages: got {self.stages}, allowed 1 or more")


def split_head(head_dim: int) -> tuple[int, int]:
    """The head width as one or two powers of two of at least 16: (first, rest), rest 0 if none.

    160 = 128 + 32 and 80 = 64 + 16 are exact, 40 = 32 + 16 pads 8. Padding to one power of two
    would cost 60% more operations in all three cases.
    """
    if head_dim < 1:
        raise ValueError(f"head_dim: got {head_dim}, allowed 1 or more")
    first = 1 << (head_dim.bit_length() - 1)
    rest = head_dim - first
    if first < 16:
        return 16, 0
    return (first, max(16, 1 << (rest - 1).bit_length())) if rest else (first, 0)


# Chosen among the tiles that compile without register spills (python -m lafi_kernels.ptx). Like in
# published kernels of this kind, query tiles are wide, because keys and values are read once per
# query tile. Not measured on a GPU. sm_89 has the least shared memory; sm_80 and sm_89 hold the
# whole accumulator and the keys' fragments in registers.
_WIDE: Final = Tile(queries=128, keys=64, warps=8, stages=3)
_FIXED_16_BIT: Final = {
    80: {64: _WIDE, 128: _WIDE, 160: Tile(64, 32, 8, 2)},
    89: {64: _WIDE, 128: Tile(128, 64, 8, 2), 160: Tile(64, 32, 8, 2)},
    90: {64: Tile(128, 64, 4, 3), 128: _WIDE, 160: Tile(128, 64, 8, 2)},
    100: {64: _WIDE, 128: _WIDE, 160: Tile(128, 64, 8, 2)},
}
# fp32 is for comparison, not for speed: above a width of 64 it spills a little.
_NARROW_32_BIT: Final = Tile(32, 16, 4, 2)
_FIXED_32_BIT: Final = {
    80: {64: Tile(32, 32, 4, 2), 160: _NARROW_32_BIT},
    89: {64: Tile(32, 32, 4, 2), 160: _NARROW_32_BIT},
    90: {64: Tile(64, 32, 4, 2), 160: _NARROW_32_BIT},
    100: {64: Tile(64, 32, 8, 2), 160: _NARROW_32_BIT},
}

CANDIDATES: Final = tuple(
    Tile(queries, keys, warps, stages)
    for queries, keys, warps in (
        (64, 32, 4),
        (64, 64, 4),
        (128, 32, 8),
        (128, 64, 4),
        (128, 64, 8),
        (128, 128, 8),
    )
    for stages in (2, 3, 4)
)
"""The tiles that `lafi_kernels.tuning` tries."""


def fixed_tile(capability: int, head_dim: int, element_bytes: int) -> Tile:
    """The tile for a compute capability (major * 10 + minor), head width and bytes per element.

    A capability between two known ones uses the tile of the lower one. From sm_120 on, blocks have
    as little shared memory as on sm_89, so they use sm_89's. An unknown width uses the tile of the
    next larger one. Raises ValueError below sm_80 and above a width of 160.
    """
    if capability < ARCHITECTURES[0]:
        raise ValueError(f"capability: got {capability}, allowed {ARCHITECTURES[0]} or more")
    if not 1 <= head_dim <= HEAD_DIMS[-1]:
        raise ValueError(f"head_dim: got {head_dim}, allowed 1 to {HEAD_DIMS[-1]}")
    known = 89 if capability >= 120 else max(x for x in ARCHITECTURES if x <= capability)
    by_width = (_FIXED_32_BIT if element_bytes == 4 else _FIXED_16_BIT)[known]
    return by_width[min(width for width in by_width if width >= head_dim)]
