"""The fused kernel against fp32, beside plain torch in the same dtype.

The rule of the tests of the op: at most twice the error of plain torch, and one rounding. Heads of
all widths, sizes that fill no tile, references from the batch and the bank, all weights at work.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.attention import split
from benchmarks.first_on_gpu.kernel import body, fused
from benchmarks.first_on_gpu.plan import Row, Setting
from lafi_kernels.reference import attention

CASES: Final = (
    ("bf16", torch.bfloat16, 64),
    ("bf16", torch.bfloat16, 128),
    ("bf16", torch.bfloat16, 40),
    ("bf16", torch.bfloat16, 80),
    ("bf16", torch.bfloat16, 160),
    ("f16", torch.float16, 64),
    ("f32", torch.float32, 64),
)


def rows(setting: Setting) -> Sequence[Row]:
    """One for each dtype and head width; the first compile the kernel, which takes seconds."""
    device = torch.device(setting.device)
    tokens = (1000, 777) if setting.size == "full" else (17, 5)
    cases = CASES if setting.size == "full" else (CASES[0], CASES[6])
    return [
        Row(f"{name}, d {width}", partial(compare, device, dtype, width, *tokens))
        for name, dtype, width in cases
    ]


def compare(
    device: torch.device, dtype: torch.dtype, width: int, tokens: int, bank_tokens: int
) -> Mapping[str, Any]:
    """Largest differences from fp32, relative to its largest value.

    Raises ArithmeticError where the kernel's is larger than allowed, or a number is not finite.
    """
    heads = 2
    exact_inputs = arguments(dtype, width * heads, tokens, bank_tokens)
    inputs = tuple(x.to(device) for x in exact_inputs)
    exact = attention(*(x.float() if x.dtype == dtype else x for x in exact_inputs), heads)
    largest = float(exact.abs().max())
    found = fused(inputs, heads).float().cpu()
    error = float((found - exact).abs().max()) / largest
    plain = float((concatenated(inputs, heads).float().cpu() - exact).abs().max()) / largest
    allowed = 2 * plain + torch.finfo(dtype).eps
    if not error <= allowed:
        raise ArithmeticError(f"error: got {error:.3g}, allowed {allowed:.3g}")
    return {"kernel": body(device), "error": error, "plain_torch": plain, "allowed": allowed}


def arguments(dtype: torch.dtype, width: int, tokens: int, bank_tokens: int) -> tuple[Tensor, ...]:
    """Four rows on the CPU: one reads nothing, one a row, one the bank, one both."""
    gen = torch.Generator().manual_seed(width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=gen).to(dtype)

    def eighths(*shape: int) -> Tensor:
        return torch.randint(0, 9, shape, generator=gen) / 8

    return (
        *(normal(4, tokens, width) for _ in range(3)),
        *(normal(1, bank_tokens, width) for _ in range(2)),
        torch.tensor([[-1, -1], [0, -1], [4, -1], [0, 4]], dtype=torch.int32),
        torch.tensor([[0.0, 0.0], [1.0, 0.0], [-0.5, 0.0], [0.0, 2.0]]),
        eighths(4, tokens),
        eighths(1, bank_tokens),
        eighths(4, 2, tokens),
    )


def concatenated(inputs: Sequence[Tensor], heads: int) -> Tensor:
    """The op as its meaning is written down, row by row, in the dtype of the inputs."""
    q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region = inputs
    out = torch.empty_like(q)
    for row, sources in enumerate(routes.tolist()):
        keys, values = [k[row]], [v[row]]
        offsets = [torch.zeros(q.shape[1], k.shape[1], device=q.device)]
        for slot, source in enumerate(sources):
            if source < 0:
                continue
            at = source if source < len(q) else source - len(q)
            pool = (k, v, mask) if source < len(q) else (bank_k, bank_v, bank_mask)
            keys.append(pool[0][at])
            values.append(pool[1][at])
            weight = region[row, slot].float()[:, None] * pool[2][at].float()[None]
            offsets.append(weight.log() + bias[row, slot])
        all_keys, all_values = (split(torch.cat(x)[None], heads) for x in (keys, values))
        own, mask_of_all = split(q[row : row + 1], heads), torch.cat(offsets, 1).to(q.dtype)
        read = F.scaled_dot_product_attention(own, all_keys, all_values, attn_mask=mask_of_all)
        out[row] = read.transpose(1, 2).flatten(2)[0]
    return out
