# mypy: disable-error-code="import-untyped, import-not-found, no-any-return"
"""Finds the fastest tile of the Triton-lang attention kernel for given shapes.

Nothing else calls this: pass the returned tile to `attention_triton_lang(tile=...)`.
Knows tiles and timings, not what the kernel computes.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import triton
from torch import Tensor

from lafi_kernels.tiles import CANDIDATES, Tile
from lafi_kernels.triton_lang import (
    constants,
    device_of,
    lafi_attention_kernel,
    launch_arguments,
)

SHAPE_CLASS: Final = ("tokens", "slots", "bank_tokens", "HEADS", "HEAD_DIM")
"""Calls with the same values of these and the same dtypes share a timing. The number of rows is
left out: it changes how many programs run, but hardly which tile is best."""


def fastest_tile(
    *tensors: Tensor,
    heads: int,
    candidates: Sequence[Tile] = CANDIDATES,
    benchmark: Callable[..., Any] | None = None,
) -> Tile:
    """The candidate with the shortest time for these arguments of `lafi::attention`.

    Needs a GPU. tensors: q to region, as `lafi_kernels.reference.attention` takes them.
    Triton-lang's autotuner times the candidates, skips tiles that do not fit the GPU, and stores
    the result in its cache on disk. benchmark: `f(call, quantiles)` in milliseconds; None takes
    Triton-lang's own. Raises ValueError without candidates.
    """
    if not candidates:
        raise ValueError("candidates: got none, allowed one tile or more")
    q = tensors[0]
    rows, tokens, width = q.shape
    tuner = triton.autotune(
        configs=[_config(tile) for tile in candidates],
        key=list(SHAPE_CLASS),
        do_bench=benchmark,
        cache_results=True,
    )(lafi_attention_kernel)
    fixed = constants(heads, width // heads, q.dtype, candidates[0])
    for name in ("QUERIES", "KEYS", "STAGES"):
        del fixed[name]

    def programs(chosen: dict[str, int]) -> tuple[int, int, int]:
        return (triton.cdiv(tokens, chosen["QUERIES"]), rows * heads, 1)

    with device_of(q):
        tuner[programs](*launch_arguments(*tensors), **fixed, enable_fp_fusion=True)
    best = tuner.best_config
    return Tile(best.kwargs["QUERIES"], best.kwargs["KEYS"], best.num_warps, best.num_stages)


def _config(tile: Tile) -> Any:
    sizes = {"QUERIES": tile.queries, "KEYS": tile.keys, "STAGES": tile.stages}
    return triton.Config(sizes, num_warps=tile.warps, num_stages=tile.stages)
