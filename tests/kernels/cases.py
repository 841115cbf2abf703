"""One table of calls of the attention op, and what each must give: for every form of the op.

Plain data, a seeded builder, and two measures: the exact result, and the error that plain torch
in the same dtype makes.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

INF = float("inf")


@dataclass(frozen=True, slots=True)
class Case:
    """Sizes and routes of one call. Weights are random eighths, some 0, unless they say otherwise.

    routes and bias: one tuple for each row, all of the same length. zero: the weight tensors,
    `mask`, `bank_mask` or `region`, that are 0 everywhere; full: those that are 1 everywhere.
    """

    name: str
    routes: tuple[tuple[int, ...], ...]
    bias: tuple[tuple[float, ...], ...]
    tokens: int
    head_dim: int
    heads: int = 1
    bank_rows: int = 0
    bank_tokens: int = 0
    zero: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments of the op, in its order."""

    q: Tensor
    k: Tensor
    v: Tensor
    bank_k: Tensor
    bank_v: Tensor
    routes: Tensor
    bias: Tensor
    mask: Tensor
    bank_mask: Tensor
    region: Tensor
    heads: int

    def values(self) -> tuple[Tensor, ...]:
        """The tensors, without `heads`."""
        return tuple(getattr(self, name) for name in self.__slots__ if name != "heads")


# Tiles of the kernel hold 16 tokens here, so 16 is exactly one, 17 one and a bit.
_SHAPES = (
    Case("no slots", ((), ()), ((), ()), 17, 40),
    Case("plain", ((-1,), (-1,)), ((0.0,), (2.0,)), 16, 64),
    Case("from the batch", ((-1,), (0,)), ((0.0,), (2.0,)), 17, 64),
    Case("from the bank", ((2,), (3,)), ((0.0,), (2.0,)), 16, 40, bank_rows=2, bank_tokens=16),
    Case("longer bank", ((-1, 2), (2, 0)), ((0.0,) * 2,) * 2, 5, 80, bank_rows=1, bank_tokens=19),
    Case("shorter bank", ((1,),), ((2.0,),), 19, 160, bank_rows=1, bank_tokens=3),
    Case("two heads", ((-1, 1), (0, -1)), ((0.0, 2.0), (2.0, 0.0)), 9, 40, heads=2),
    Case("itself", ((0,), (1,)), ((0.0,), (0.0,)), 18, 64, full=("mask", "region")),
    Case("a reader that is read", ((-1,), (0,), (1,)), ((0.0,),) * 3, 7, 128),
    Case("three slots", ((0, 1, 1),), ((0.0, 2.0, -1.0),), 17, 128, bank_rows=1, bank_tokens=17),
    Case("twice the same", ((-1, -1), (0, 0)), ((0.0,) * 2,) * 2, 6, 160, full=("region",)),
    Case("bias shuts out", ((-1, -1), (0, 0)), ((0.0, 0.0), (-INF, 2.0)), 8, 64),
    Case("every bias shuts out", ((1,), (0,)), ((-INF,), (-INF,)), 17, 80),
    Case("empty mask", ((1,), (0,)), ((2.0,), (0.0,)), 17, 64, zero=("mask",)),
    Case("empty bank mask", ((1,),), ((2.0,),), 17, 40, 1, 1, 18, zero=("bank_mask",)),
    Case("empty region", ((1,), (0,)), ((2.0,), (0.0,)), 17, 64, zero=("region",)),
    Case("one token", ((1, 0), (-1, 1)), ((0.0, 2.0), (0.0, 0.0)), 1, 64),
    Case("narrow head", ((1,), (0,)), ((0.0,), (2.0,)), 9, 8, heads=2),
)
_HALF = ("from the batch", "from the bank", "longer bank", "three slots", "shorter bank")
CASES = _SHAPES + tuple(
    replace(case, dtype=dtype)
    for dtype in (torch.float16, torch.bfloat16)
    for case in _SHAPES
    if case.name in _HALF
)


def name_of(case: Case) -> str:
    return f"{case.name}, d {case.head_dim}, {str(case.dtype).removeprefix('torch.')}"


def build(case: Case) -> Arguments:
    """The same tensors for the same case, everywhere. Weights and biases are exact in 16 bits."""
    gen = torch.Generator().manual_seed(sum(name_of(case).encode()))
    rows, slots, width = len(case.routes), len(case.routes[0]), case.heads * case.head_dim

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=gen).to(case.dtype)

    def weights(name: str, *shape: int) -> Tensor:
        eighths = torch.randint(0, 9, shape, generator=gen) / 8
        kept = torch.rand(shape, generator=gen) > 0.3
        if name in case.zero:
            return torch.zeros(shape)
        return torch.ones(shape) if name in case.full else eighths * kept

    def of_row(values: tuple[tuple[float, ...], ...], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype).reshape(rows, slots)

    return Arguments(
        q=normal(rows, case.tokens, width),
        k=normal(rows, case.tokens, width),
        v=normal(rows, case.tokens, width),
        bank_k=normal(case.bank_rows, case.bank_tokens, width),
        bank_v=normal(case.bank_rows, case.bank_tokens, width),
        routes=of_row(case.routes, torch.int32),
        bias=of_row(case.bias, torch.float32),
        mask=weights("mask", rows, case.tokens),
        bank_mask=weights("bank_mask", case.bank_rows, case.bank_tokens),
        region=weights("region", rows, slots, case.tokens),
        heads=case.heads,
    )


def concatenated(arguments: Arguments, dtype: torch.dtype) -> Tensor:
    """The op as its meaning is written down, every step in `dtype`: no kernel, nothing fused."""
    a, width = arguments, arguments.q.shape[-1]
    d, rows = width // a.heads, len(a.q)
    out = torch.empty_like(a.q, dtype=dtype)
    for row in range(rows):
        for head in range(a.heads):
            part = slice(head * d, (head + 1) * d)
            keys, values = [a.k[row, :, part]], [a.v[row, :, part]]
            offsets = [torch.zeros(a.q.shape[1], a.k.shape[1], dtype=torch.float64)]
            for slot, source in enumerate(a.routes[row].tolist()):
                if source < 0:
                    continue
                pool = (a.k, a.v, a.mask) if source < rows else (a.bank_k, a.bank_v, a.bank_mask)
                k, v, mask = (x[source if source < rows else source - rows] for x in pool)
                keys.append(k[:, part])
                values.append(v[:, part])
                weight = a.region[row, slot].double()[:, None] * mask.double()[None, :]
                offsets.append(weight.log() + a.bias[row, slot].double())
            scores = a.q[row, :, part].to(dtype) @ torch.cat(keys).to(dtype).T * d**-0.5
            share = (scores + torch.cat(offsets, dim=1).to(dtype)).softmax(dim=1)
            out[row, :, part] = share @ torch.cat(values).to(dtype)
    return out


def check(case: Case, result: Tensor) -> None:
    """At most twice the error of plain torch in the same dtype, plus one rounding of the result.

    The rounding: where a single token decides, plain torch may be exact by luck, while a result
    that is stored in this dtype may always be off by half a unit in the last place, and one that
    was accumulated in another order by as much again.
    """
    arguments = build(case)
    exact = concatenated(arguments, torch.float64)
    plain = concatenated(arguments, case.dtype)
    allowed = 2 * _largest(plain.double() - exact)
    allowed += torch.finfo(case.dtype).eps * _largest(exact)
    assert result.dtype == case.dtype
    assert bool(torch.isfinite(result).all())
    error = _largest(result.double() - exact)
    assert error <= allowed, f"{name_of(case)}: error {error:.3g}, allowed {allowed:.3g}"


def _largest(x: Tensor) -> float:
    return float(x.abs().max())
