"""Tile sizes of the Triton-lang attention kernel: one fixed choice per GPU, head width and dtype.

Knows numbers, not kernels: nothing here imports torch or triton.
"""

from dataclasses import dataclass
from typing import Final

ARCHITECTURES: Final = (80, 89, 90, 100)
"""Compute capabilities, major * 10 + minor, that have a fixed choice of their own."""

HEAD_DIMS: Final = (40, 64, 80, 128, 160)

SHARED_MEMORY: Final = {80: 166_912, 89: 101_376, 90: 232_448, 100: 232_448}
"""Bytes of shared memory that one block may use (CUDA programming guide, compute capabilities)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """How one program of the kernel works.

    queries: query tokens of a program. keys: key tokens of one step of its loop.
    Both are powers of two of at least 16, which the matrix units need.
    warps: 1, 2, 4, 8 or 16. stages: loop steps whose keys and values are in flight at once.
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

    160 = 128 + 32 and 80 = 64 + 16 are exact, 40 = 32 + 16 pads 8; one padded power of two
    would cost 60% more operations for each of the three.
    """
    if head_dim < 1:
        raise ValueError(f"head_dim: got {head_dim}, allowed 1 or more")
    first = 1 << (head_dim.bit_length() - 1)
    rest = head_dim - first
    if first < 16:
        return 16, 0
    return (first, max(16, 1 << (rest - 1).bit_length())) if rest else (first, 0)


def fixed_tile(capability: int, head_dim: int, element_bytes: int) -> Tile:
    """The tile for a compute capability (major * 10 + minor), head width and size of an element."""
    return Tile(128, 64, 4, 3)
