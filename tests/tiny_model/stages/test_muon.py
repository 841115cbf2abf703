"""Muon: orthogonal updates, Adam for the rest, a state that is saved and shared out."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lafi_tiny.stages import muon
from lafi_tiny.stages.muon import Muon, orthogonal, split_parameters


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 40), st.integers(5, 40), st.integers(0, 1000))
def test_updates_are_nearly_orthogonal(rows: int, columns: int, seed: int) -> None:
    torch.manual_seed(seed)
    values = torch.linalg.svdvals(orthogonal(torch.randn(rows, columns)))
    assert values.max() < 1.4
    assert values.median() > 0.5


@pytest.mark.parametrize("fast", [True, False])
def test_large_matrices_are_made_orthogonal_in_bfloat16_only_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(muon, "bf16_is_fast", lambda _: fast)
    torch.manual_seed(0)
    matrix = torch.randn(96, 128)
    result = orthogonal(matrix)
    assert result.dtype == torch.float32
    assert torch.linalg.svdvals(result).max() < 1.4
    assert torch.equal(result, result.bfloat16().float()) is fast


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(32, 2))


def test_hidden_weights_are_matrices_and_the_rest_is_not() -> None:
    module = network()
    matrices, others = split_parameters(module)
    assert [p.ndim for p in matrices] == [4]
    assert len(matrices) + len(others) == len(list(module.parameters()))


def test_tables_of_tokens_and_the_namers_heads_are_no_matrices() -> None:
    names = ("token_embedding", "embed_tokens", "heads", "cap_embedder", "t_embedder")
    module = nn.ModuleDict({n: nn.Sequential(nn.Linear(8, 8, bias=False)) for n in names})
    matrices, others = split_parameters(module)
    hidden = {id(p) for n in names[3:] for p in module[n].parameters()}
    assert {id(parameter) for parameter in matrices} == hidden
    assert len(others) == 3


def trained(module: nn.Module, optimizer: Muon, steps: int) -> list[float]:
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(16, 3, 4, 4, generator=generator)
    wanted = images.mean(dim=(1, 2, 3))[:, None].expand(-1, 2)
    losses = []
    for _ in range(steps):
        loss = (module(images) - wanted).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_it_learns_and_its_state_goes_on() -> None:
    module = network()
    optimizer = Muon(module, 0.01, 0.01)
    losses = trained(module, optimizer, 40)
    assert losses[-1] < 0.3 * losses[0]
    twin = network()
    twin.load_state_dict(module.state_dict())
    other = Muon(twin, 0.01, 0.01)
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    assert trained(module, optimizer, 3) == pytest.approx(trained(twin, other, 3))


def test_rates_move_together() -> None:
    optimizer = Muon(network(), 0.02, 0.01)
    optimizer.set_rate(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.005]
