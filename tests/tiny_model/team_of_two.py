"""Run as `python team_of_two.py FOLDER`: two processes average gradients and wait for each other.

A script, since the processes of a team import what they run by its file.
"""

import sys
import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from lafi_tiny.team import Team, flat_gradients, run_team


def build() -> nn.Module:
    """The same weights in every process."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def own_gradients(worker: int) -> Tensor:
    """Gradients (n,) of the worker's own batch."""
    module = build()
    flat = flat_gradients(module)
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(worker))
    module(inputs).pow(2).sum().backward()
    return flat


def work(folder: Path, team: Team) -> None:
    """Leaves the gradients after averaging, and whether the late one was waited for."""
    gradients = own_gradients(team.worker)
    team.average(gradients)
    if team.is_first:
        time.sleep(0.3)
        (folder / "late").touch()
    team.wait()
    state = {"gradients": gradients, "waited": (folder / "late").exists()}
    torch.save(state, folder / f"worker_{team.worker}.pt")


if __name__ == "__main__":
    meeting = Path(sys.argv[1])
    run_team(partial(work, meeting), 2, meeting)
