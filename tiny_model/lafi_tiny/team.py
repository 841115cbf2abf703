"""Several processes that train one model: each its own batch, gradients averaged every step.

On CPUs one thread in each of several processes is faster than several threads in one: small
layers leave threads waiting for each other at every operation, processes only once a step.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.multiprocessing
from torch import distributed, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors


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

    def average_gradients(self, module: nn.Module) -> None:
        """Give every worker the mean of all workers' gradients."""
        if self.workers == 1:
            return
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        flat = _flatten_dense_tensors(gradients).to(torch.bfloat16)
        distributed.all_reduce(flat)
        mean = _unflatten_dense_tensors(flat.float() / self.workers, gradients)
        torch._foreach_copy_(gradients, list(mean))


ALONE = Team()


def run_team(work: Callable[[Team], None], workers: int, folder: Path) -> None:
    """Run `work` in `workers` processes with the cores shared out; `folder` is for meeting."""
    if workers == 1:
        work(ALONE)
        return
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    torch.multiprocessing.spawn(_join, (work, workers, meeting), nprocs=workers)


def _join(worker: int, work: Callable[[Team], None], workers: int, meeting: Path) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    distributed.init_process_group(
        "gloo", init_method=meeting.absolute().as_uri(), rank=worker, world_size=workers
    )
    try:
        work(Team(worker, workers))
    finally:
        distributed.destroy_process_group()
