"""The fixed tiles are complete, and bad numbers are named."""

import re

import pytest

from lafi_kernels.tiles import ARCHITECTURES, HEAD_DIMS, Tile, fixed_tile, split_head


@pytest.mark.parametrize("capability", ARCHITECTURES)
@pytest.mark.parametrize("head_dim", HEAD_DIMS)
@pytest.mark.parametrize("element_bytes", [2, 4])
def test_every_gpu_head_and_dtype_has_a_tile(
    capability: int, head_dim: int, element_bytes: int
) -> None:
    tile = fixed_tile(capability, head_dim, element_bytes)
    assert tile.queries * tile.keys >= 16 * 16


def test_gpus_without_a_choice_of_their_own_take_one_that_fits() -> None:
    assert fixed_tile(86, 64, 2) == fixed_tile(80, 64, 2)
    assert fixed_tile(103, 128, 2) == fixed_tile(100, 128, 2)
    assert fixed_tile(120, 128, 2) == fixed_tile(89, 128, 2)
    assert fixed_tile(90, 33, 2) == fixed_tile(90, 40, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((75, 64, 2), "capability: got 75, allowed 80 or more"),
        ((90, 161, 2), "head_dim: got 161, allowed 1 to 160"),
        ((90, 0, 2), "head_dim: got 0, allowed 1 to 160"),
    ],
)
def test_what_no_tile_serves_is_named(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        fixed_tile(*arguments)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((48, 64, 4, 2), "queries: got 48, allowed powers of two from 16"),
        ((64, 8, 4, 2), "keys: got 8, allowed powers of two from 16"),
        ((64, 64, 3, 2), "warps: got 3, allowed 1, 2, 4, 8 or 16"),
        ((64, 64, 4, 0), "stages: got 0, allowed 1 or more"),
    ],
)
def test_a_bad_tile_is_refused(sizes: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Tile(*sizes)


@pytest.mark.parametrize(
    ("head_dim", "parts"),
    [(8, (16, 0)), (16, (16, 0)), (20, (16, 16)), (40, (32, 16)), (64, (64, 0)), (80, (64, 16)),
     (96, (64, 32)), (128, (128, 0)), (160, (128, 32))],
)  # fmt: skip
def test_a_head_is_split_into_powers_of_two(head_dim: int, parts: tuple[int, int]) -> None:
    assert split_head(head_dim) == parts
    assert sum(parts) >= head_dim
