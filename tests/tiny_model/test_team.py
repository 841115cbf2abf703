"""Several processes that train one model."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from lafi_tiny.team import ALONE, Team, flat_gradients, run_team

SCRIPT = Path(__file__).parent / "team_of_two.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("team_of_two", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_processes_get_the_mean_of_their_gradients(tmp_path: Path, script: ModuleType) -> None:
    (tmp_path / "meeting").write_text("left over from a run that was killed")
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=250
    )
    assert run.returncode == 0, run.stderr
    first, second = (
        torch.load(tmp_path / f"worker_{worker}.pt", weights_only=True) for worker in (0, 1)
    )
    own = [script.own_gradients(worker) for worker in (0, 1)]
    assert torch.equal(first["gradients"], second["gradients"])
    assert torch.allclose(first["gradients"], (own[0] + own[1]) / 2, atol=1e-6)
    assert not torch.allclose(own[0], own[1])
    assert first["waited"]
    assert second["waited"]


def test_alone_nothing_is_averaged_and_no_process_started(tmp_path: Path) -> None:
    gradients = torch.arange(3.0)
    seen: list[Team] = []

    def work(team: Team) -> None:
        seen.append(team)
        team.wait()
        team.average(gradients)

    run_team(work, 1, tmp_path)
    assert seen == [ALONE]
    assert torch.equal(gradients, torch.arange(3.0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_lie_in_one_tensor_and_are_those_of_autograd(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(8, 1))
    module = module.to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(2, 3, 4, 4)
    expected = torch.autograd.grad(module(images).pow(2).sum(), list(module.parameters()))
    flat = flat_gradients(module)
    assert flat.shape == (sum(p.numel() for p in module.parameters()),)
    for _ in range(2):
        flat.zero_()
        module(images).pow(2).sum().backward()
        for parameter, gradient in zip(module.parameters(), expected, strict=True):
            assert parameter.grad is not None
            assert torch.allclose(parameter.grad, gradient, atol=1e-5)
    squares = sum(float(g.pow(2).sum()) for g in expected)
    assert flat.pow(2).sum().item() == pytest.approx(squares, rel=1e-4)
    flat.fill_(7.0)
    assert all((p.grad == 7).all() for p in module.parameters() if p.grad is not None)


def test_the_first_worker_keeps_the_state() -> None:
    assert [Team(worker, 3).is_first for worker in range(3)] == [True, False, False]
