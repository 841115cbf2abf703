"""Reading a reference in place against concatenating it: a layer of SDXL at 1024 px, 16 rows.

16 rows with 4096 queries read 8192 keys, 10 heads of 64. What is measured is what
`python -m benchmarks.attention` measures; here each way is a row, and one has the reference in the
bank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from benchmarks.attention import (
    Tensors,
    Way,
    exact_rows,
    joined,
    make_tensors,
    measure_way,
    plain,
    time_way,
    with_backend,
)
from benchmarks.attention_count import FLOPS_PER_S, SDXL, LayerClass
from benchmarks.first_on_gpu.kernel import body, fused
from benchmarks.first_on_gpu.plan import NotHere, Row, Setting

PANELS: Final = 16
_TRIED: Final = LayerClass("small", tokens=17, heads=1, head_dim=32, layers=1, injected=1)
WAYS: Final[Mapping[str, tuple[Way, SDPBackend | None]]] = {
    "fused": (fused, None),
    "cat + SDPA cuDNN": (joined, SDPBackend.CUDNN_ATTENTION),
    "cat + SDPA flash": (joined, SDPBackend.FLASH_ATTENTION),
    "plain SDPA cuDNN": (plain, SDPBackend.CUDNN_ATTENTION),
    "plain SDPA flash": (plain, SDPBackend.FLASH_ATTENTION),
}


def rows(setting: Setting) -> Sequence[Row]:
    """The fused kernel first, then what it is compared with."""
    full = setting.size == "full"
    layer, panels = (SDXL[0], PANELS) if full else (_TRIED, 2)
    device = torch.device(setting.device)
    tensors = cache(partial(make_tensors, layer, panels, setting.device))
    exact = cache(lambda: exact_rows(tensors(), layer.heads))

    def answer(name: str) -> Mapping[str, Any]:
        way, backend = WAYS[name]
        if backend == SDPBackend.CUDNN_ATTENTION and not setting.on_gpu:
            raise NotHere("cuDNN has attention for GPUs alone")
        way = way if backend is None else with_backend(way, backend)
        read = exact()[not name.startswith("plain")]
        found = measure_way(name, way, layer, panels, tensors(), read, setting.repeats)
        share = found.tflops_per_s * 1e12 / FLOPS_PER_S
        kernel = body(device) if name == "fused" else "SDPA"
        return {**asdict(found), "share": share, "kernel": kernel}

    def banked() -> Mapping[str, Any]:
        kept = from_bank(tensors())
        seconds, extra, out = time_way(fused, kept, layer.heads, setting.repeats)
        work = 8 * layer.tokens**2 * layer.heads * layer.head_dim * panels
        wanted = exact()[1][1]
        error = (out[0].float().cpu() - wanted).abs().max() / wanted.abs().max()
        return {
            "rows": panels,
            "milliseconds": 1e3 * seconds,
            "tflops_per_s": work / seconds / 1e12,
            "share": work / seconds / FLOPS_PER_S,
            "extra_megabytes": extra / 1e6,
            "error": float(error),
            "kernel": body(device),
        }

    return [
        Row("fused, reference in the bank", banked),
        *(Row(name, partial(answer, name)) for name in WAYS),
    ]


def from_bank(tensors: Tensors) -> Tensors:
    """The same readers, whose reference lies in the bank and is no row."""
    q, k, v, _, _, routes, bias, mask, _, region = tensors
    readers = len(q) - 1
    read: list[Tensor] = [x[:readers] for x in (q, k, v)]
    return (
        *read,
        k[readers:],
        v[readers:],
        torch.full_like(routes[:readers], readers),
        bias[:readers],
        mask[:readers],
        mask[readers:],
        region[:readers],
    )
