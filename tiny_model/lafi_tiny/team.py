"""Several processes that train one model: each its own batch, gradients averaged every step.

On CPUs one thread in each of several processes is faster than several threads in one: small
layers leave threads waiting for each other at every operation, processes only once a step.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn

PATIENCE = timedelta(hours=6)
"""How long workers wait for one that draws and reads pictures on a machine that others use."""


@dataclass(frozen=True, slots=True)
class Team:
    """Worker `worker` of `workers`."""

    worker: int = 0
    workers: int = 1

    @property
    def is_first(self) -> bool:
        """The worker that keeps the moving average, prints and saves."""
        return self.worker == 0

    def wait(self) -> None:
        """Until all workers are here."""
        if self.workers > 1:
            distributed.barrier()

    def average(self, gradients: Tensor) -> None:
        """Give every worker the mean of all workers' gradients, in place."""
        if self.workers > 1:
            distributed.all_reduce(gradients)
            gradients /= self.workers


ALONE = Team()


def flat_gradients(module: nn.Module) -> Tensor:
    """One zeroed tensor (n,) of which every parameter's gradient is a view.

    Workers exchange it without gathering a copy. Clear it with `zero_`, not with the
    optimizer's `zero_grad`, which would cut the views loose.
    """
    parameters = list(module.parameters())
    total = sum(p.numel() for p in parameters)
    flat = torch.zeros(total, device=parameters[0].device)
    start = 0
    for parameter in parameters:
        part = flat[start : start + parameter.numel()]
        parameter.grad = part.as_strided(parameter.size(), parameter.stride())
        start += parameter.numel()
    return flat


def run_team(work: Callable[[Team], None], workers: int, folder: Path) -> None:
    """Run `work` in `workers` processes with the cores shared out; `folder` is for meeting."""
    if workers == 1:
        work(ALONE)
        return
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    spawn(_join, (work, workers, meeting), nprocs=workers)


def _join(worker: int, work: Callable[[Team], None], workers: int, meeting: Path) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    distributed.init_process_group(
        "gloo",
        init_method=meeting.absolute().as_uri(),
        rank=worker,
        world_size=workers,
        timeout=PATIENCE,
    )
    try:
        work(Team(worker, workers))
    finally:
        distributed.destroy_process_group()
