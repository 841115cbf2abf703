# mypy: disable-error-code="import-untyped"
"""The fused kernel as this machine can run it, and what a row says about it.

On a CPU it runs in Triton-lang's interpreter, where the process was started for that; a process in
which Triton-lang compiles has no kernel for CPU tensors, and the row says so.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor

from benchmarks.first_on_gpu.plan import NotHere
from lafi_kernels.tiles import Tile
from lafi_kernels.triton_lang import attention_triton_lang, lafi_attention_kernel

TRIED_TILE: Final = Tile(16, 16, 4, 1)


def body(device: torch.device) -> str:
    """What computes: `compiled` or `interpreted`. Raises NotHere where it cannot run."""
    import triton

    compiles = isinstance(lafi_attention_kernel, triton.JITFunction)
    if device.type == "cpu" and compiles:
        raise NotHere("the kernel runs on a GPU, or with TRITON_INTERPRET=1 on a CPU")
    return "compiled" if compiles else "interpreted"


def fused(tensors: tuple[Tensor, ...], heads: int, tile: Tile | None = None) -> Tensor:
    """The kernel on the arguments of the op, q to region. Raises as `body`."""
    body(tensors[0].device)
    call: Callable[..., Tensor] = partial(attention_triton_lang, heads=heads, tile=tile)
    return call(*tensors)
