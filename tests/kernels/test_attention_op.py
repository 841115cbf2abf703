"""The laws of the attention op, each one test, on the torch reference."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi_kernels.reference import attention

TOLERANCE = {"rtol": 0.0, "atol": 2e-6}


@dataclass(frozen=True)
class Case:
    """Arguments of one call of the op."""

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

    def run(self) -> Tensor:
        return attention(
            self.q,
            self.k,
            self.v,
            self.bank_k,
            self.bank_v,
            self.routes,
            self.bias,
            self.mask,
            self.bank_mask,
            self.region,
            self.heads,
        )

    def plain(self) -> Tensor:
        """Every row attends to itself alone, computed without the op."""
        rows, tokens, width = self.q.shape
        q, k, v = (
            x.view(rows, tokens, self.heads, -1).transpose(1, 2) for x in (self.q, self.k, self.v)
        )
        out = F.scaled_dot_product_attention(q, k, v)
        return out.transpose(1, 2).reshape(rows, tokens, width)


@st.composite
def cases(draw: st.DrawFn, bank: int | None = None) -> Case:
    """Calls with random tensors, some routes -1, some weights exactly 0."""
    gen = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    rows, tokens, ref_tokens = (draw(st.integers(1, n)) for n in (5, 7, 6))
    heads, head_width, slots = (draw(st.integers(1, n)) for n in (3, 5, 3))
    kept = draw(st.integers(0, 3)) if bank is None else bank
    width = heads * head_width

    def weights(*shape: int) -> Tensor:
        x = torch.rand(shape, generator=gen)
        return torch.where(x < 0.25, torch.zeros(()), x)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=gen)

    return Case(
        q=normal(rows, tokens, width),
        k=normal(rows, tokens, width),
        v=normal(rows, tokens, width),
        bank_k=normal(kept, ref_tokens, width),
        bank_v=normal(kept, ref_tokens, width),
        routes=torch.randint(-1, rows + kept, (rows, slots), generator=gen, dtype=torch.int32),
        bias=normal(rows, slots),
        mask=weights(rows, tokens),
        bank_mask=weights(kept, ref_tokens),
        region=weights(rows, slots, tokens),
        heads=heads,
    )


laws = settings(max_examples=25, deadline=None)


@laws
@given(cases())
def test_concatenation_is_what_the_op_means(case: Case) -> None:
    """Per row and head: softmax over own and referenced tokens, weights multiplying exp(logit)."""
    rows, _, width = case.q.shape
    d = width // case.heads
    pool_k = [*case.k.double(), *case.bank_k.double()]
    pool_v = [*case.v.double(), *case.bank_v.double()]
    pool_mask = [*case.mask.double(), *case.bank_mask.double()]
    expected = torch.empty_like(case.q)
    for row in range(rows):
        for head in range(case.heads):
            part = slice(head * d, (head + 1) * d)
            q = case.q[row, :, part].double()
            weights = [(q @ pool_k[row][:, part].T / d**0.5).exp()]
            values = [pool_v[row][:, part]]
            for slot, source in enumerate(case.routes[row].tolist()):
                if source < 0:
                    continue
                logits = q @ pool_k[source][:, part].T / d**0.5 + case.bias[row, slot].double()
                seen = case.region[row, slot].double()[:, None] * pool_mask[source][None, :]
                weights.append(logits.exp() * seen)
                values.append(pool_v[source][:, part])
            joined = torch.cat(weights, dim=1)
            out = joined @ torch.cat(values) / joined.sum(dim=1, keepdim=True)
            expected[row, :, part] = out.float()
    torch.testing.assert_close(case.run(), expected, **TOLERANCE)


@laws
@given(cases())
def test_all_routes_nothing_is_plain_attention(case: Case) -> None:
    unrouted = replace(case, routes=torch.full_like(case.routes, -1))
    torch.testing.assert_close(unrouted.run(), case.plain(), **TOLERANCE)


@laws
@given(cases(), st.integers(0, 2))
def test_a_row_routed_to_itself_is_unchanged(case: Case, copies: int) -> None:
    rows, slots = case.routes.shape
    own = torch.arange(rows, dtype=torch.int32)[:, None].expand(rows, slots).clone()
    own[:, copies + 1 :] = -1
    case = replace(
        case,
        routes=own,
        bias=torch.zeros_like(case.bias),
        mask=torch.ones_like(case.mask),
        region=torch.ones_like(case.region),
    )
    torch.testing.assert_close(case.run(), case.plain(), **TOLERANCE)


@laws
@given(cases())
def test_bias_minus_infinity_is_plain_attention(case: Case) -> None:
    case = replace(case, bias=torch.full_like(case.bias, -torch.inf))
    torch.testing.assert_close(case.run(), case.plain(), **TOLERANCE)


@laws
@given(cases())
def test_an_empty_mask_is_plain_attention(case: Case) -> None:
    case = replace(
        case, mask=torch.zeros_like(case.mask), bank_mask=torch.zeros_like(case.bank_mask)
    )
    torch.testing.assert_close(case.run(), case.plain(), **TOLERANCE)


@laws
@given(cases())
def test_an_empty_region_is_plain_attention(case: Case) -> None:
    case = replace(case, region=torch.zeros_like(case.region))
    torch.testing.assert_close(case.run(), case.plain(), **TOLERANCE)


@laws
@given(cases(), st.randoms(use_true_random=False))
def test_permuting_rows_and_routes_permutes_the_output(case: Case, random: "object") -> None:
    rows = len(case.q)
    order = list(range(rows))
    random.shuffle(order)  # type: ignore[attr-defined]
    # A route names its source by position, so a moved source takes a new name.
    renamed = {-1: -1, **{old: new for new, old in enumerate(order)}}
    routes = [[renamed.get(r, r) for r in line] for line in case.routes[order].tolist()]
    moved = replace(
        case,
        q=case.q[order],
        k=case.k[order],
        v=case.v[order],
        routes=torch.tensor(routes, dtype=torch.int32),
        bias=case.bias[order],
        mask=case.mask[order],
        region=case.region[order],
    )
    torch.testing.assert_close(moved.run(), case.run()[order], **TOLERANCE)


@laws
@given(cases())
def test_a_reference_row_does_not_depend_on_its_readers(case: Case) -> None:
    """Row 0 reads nothing; who reads it, and what they are, must not show in its output."""
    routes = case.routes.clone()
    routes[0] = -1
    read = replace(case, routes=routes)
    alone = replace(
        read,
        q=torch.cat([case.q[:1], case.q[1:] + 1.0]),
        routes=torch.full_like(routes, -1),
    )
    torch.testing.assert_close(read.run()[0], alone.run()[0], rtol=0.0, atol=1e-6)


@laws
@given(cases(bank=0))
def test_a_reference_from_the_batch_or_from_the_bank_gives_the_same(case: Case) -> None:
    rows = len(case.q)
    banked = replace(
        case,
        bank_k=case.k,
        bank_v=case.v,
        bank_mask=case.mask,
        routes=torch.where(case.routes >= 0, case.routes + rows, case.routes),
    )
    torch.testing.assert_close(banked.run(), case.run(), **TOLERANCE)


@laws
@given(cases(), st.integers(0, 5))
def test_splitting_a_batch_each_with_the_reference_changes_nothing(case: Case, cut: int) -> None:
    rows = len(case.q)
    cut = min(cut, rows)
    # Row 0 is the reference; the others read it or the bank.
    routes = torch.where(case.routes >= rows, case.routes, case.routes.clamp(max=0))
    routes[0] = -1
    whole = replace(case, routes=routes)
    expected = whole.run()
    for part in (list(range(cut)), list(range(cut, rows))):
        chosen = [0, *(row for row in part if row != 0)]
        moved = routes[chosen]
        half = replace(
            whole,
            q=case.q[chosen],
            k=case.k[chosen],
            v=case.v[chosen],
            routes=torch.where(moved >= rows, moved - rows + len(chosen), moved),
            bias=case.bias[chosen],
            mask=case.mask[chosen],
            region=case.region[chosen],
        )
        torch.testing.assert_close(half.run(), expected[chosen], rtol=0.0, atol=1e-6)


def _one_row(**changes: object) -> Case:
    ones = torch.ones(2, 3, 4)
    case = Case(
        q=ones,
        k=ones,
        v=ones,
        bank_k=ones[:0],
        bank_v=ones[:0],
        routes=torch.zeros(2, 1, dtype=torch.int32),
        bias=torch.zeros(2, 1),
        mask=torch.ones(2, 3),
        bank_mask=torch.ones(0, 3),
        region=torch.ones(2, 1, 3),
        heads=2,
    )
    return replace(case, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, r"heads: got 3, allowed a divisor of the width 4"),
        ({"mask": torch.ones(2, 4)}, r"mask: got shape \(2, 4\), expected \(2, 3\)"),
        ({"region": torch.ones(2, 2, 3)}, r"region: got shape \(2, 2, 3\), expected \(2, 1, 3\)"),
        (
            {"routes": torch.tensor([[2], [0]], dtype=torch.int32)},
            r"routes: got values 0 to 2, allowed -1 to 1",
        ),
        ({"routes": torch.tensor([[-2], [0]], dtype=torch.int32)}, r"routes: got values -2 to 0"),
    ],
)
def test_a_wrong_argument_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _one_row(**changes).run()


def test_half_precision_comes_back_in_its_own_dtype() -> None:
    case = _one_row(
        q=torch.ones(2, 3, 4).half(), k=torch.ones(2, 3, 4).half(), v=torch.ones(2, 3, 4).half()
    )
    assert case.run().dtype == torch.float16


def test_the_op_is_a_well_formed_custom_op() -> None:
    case = _one_row()
    outcome = torch.library.opcheck(
        attention,
        tuple(getattr(case, field) for field in case.__dataclass_fields__),
        test_utils=("test_schema", "test_faketensor"),
    )
    assert set(outcome.values()) == {"SUCCESS"}
