"""The fastest tile of each kind of layer beside the fixed one: `attention --tune`, kind by kind.

Compiling takes longer than timing, so all tiles are compiled at once, in as many processes as there
are cores; they share Triton-lang's cache on the disk.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Final

import torch

from benchmarks.attention import make_tensors, time_way
from benchmarks.attention_count import SD15, SDXL, LayerClass
from benchmarks.first_on_gpu.kernel import TRIED_TILE, body, fused
from benchmarks.first_on_gpu.plan import Row, Setting
from lafi_kernels.tiles import CANDIDATES, Tile
from lafi_kernels.tuning import fastest_tile

PANELS: Final = 8
_TRIED: Final = LayerClass("small", tokens=17, heads=1, head_dim=16, layers=1, injected=1)


def rows(setting: Setting) -> Sequence[Row]:
    """SDXL's layers of 4096 tokens first."""
    if setting.size == "small":
        tiles = (TRIED_TILE, Tile(32, 16, 4, 1))
        return [Row(_TRIED.name, partial(tuned, setting, _TRIED, 1, tiles))]
    layers = (SDXL[0], SD15[0], SDXL[1], *SD15[1:])
    return [
        Row("compiled beforehand", lambda: compiled(setting, layers, CANDIDATES)),
        *(Row(layer.name, partial(tuned, setting, layer, PANELS, CANDIDATES)) for layer in layers),
    ]


def tuned(
    setting: Setting, layer: LayerClass, panels: int, candidates: Sequence[Tile]
) -> Mapping[str, Any]:
    """Milliseconds with the fixed tile and with the fastest of the candidates."""
    tensors = make_tensors(layer, panels, setting.device)
    kernel = body(tensors[0].device)
    # Triton-lang times on GPUs alone.
    benchmark = None if setting.on_gpu else wall_clock
    best = fastest_tile(*tensors, heads=layer.heads, candidates=candidates, benchmark=benchmark)
    milliseconds = [
        1e3 * time_way(partial(fused, tile=tile), tensors, layer.heads, setting.repeats)[0]
        for tile in (None, best)
    ]
    return {
        "kernel": kernel,
        "fixed_ms": milliseconds[0],
        "tuned_ms": milliseconds[1],
        "tile": [best.queries, best.keys, best.warps, best.stages],
    }


def wall_clock(call: Callable[[], Any], quantiles: Sequence[float]) -> list[float]:
    """Milliseconds of one call, as many times as Triton-lang's autotuner asks for quantiles."""
    started = time.perf_counter()
    call()
    return [1e3 * (time.perf_counter() - started)] * len(quantiles)


def compiled(
    setting: Setting, layers: Sequence[LayerClass], candidates: Sequence[Tile]
) -> Mapping[str, Any]:
    """Compiles every candidate of every layer for the GPU that is there."""
    major, minor = torch.cuda.get_device_capability(setting.device)
    return compile_for(10 * major + minor, layers, candidates)


def compile_for(
    capability: int, layers: Sequence[LayerClass], candidates: Sequence[Tile]
) -> Mapping[str, Any]:
    """Into the cache; needs no GPU. left_out: tiles that the compiler refused."""
    jobs = [
        (capability, layer.heads, layer.head_dim, tile) for layer in layers for tile in candidates
    ]
    workers = min(len(jobs), os.cpu_count() or 1)
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawned) as pool:
        errors = [error for error in pool.map(_compile, jobs) if error]
    return {"tiles": len(jobs), "workers": workers, "left_out": len(errors), "errors": errors[:3]}


def _compile(job: tuple[int, int, int, Tile]) -> str:
    """The error, or nothing."""
    from lafi_kernels.ptx import compile_attention

    capability, heads, head_dim, tile = job
    try:
        compile_attention(capability, heads, head_dim, torch.bfloat16, tile=tile)
    except Exception as error:
        return f"{tile}: {type(error).__name__}: {error}"[:200]
    return ""
