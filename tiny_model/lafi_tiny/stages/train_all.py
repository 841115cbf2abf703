"""All stages in their order, each where it stopped: autoencoder and reader, then the denoiser."""

import os
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from lafi_tiny.stages.autoencoder import AutoencoderTraining, train_autoencoder
from lafi_tiny.stages.blueprint import BLUEPRINT
from lafi_tiny.stages.stage_folder import has_finished
from lafi_tiny.stages.train_denoiser import DenoiserTraining, train_denoiser
from lafi_tiny.stages.train_reader import ReaderTraining, train_reader
from lafi_tiny.team import run_team

Work = Callable[[Path], None]


def autoencoder_stage(
    folder: Path, settings: AutoencoderTraining | None = None, threads: int = 1
) -> None:
    """The autoencoder, with half of the machine unless told otherwise."""
    torch.set_num_threads(threads)
    train_autoencoder(BLUEPRINT, settings or AutoencoderTraining(), folder)


def reader_stage(folder: Path, settings: ReaderTraining | None = None, threads: int = 1) -> None:
    """The reader, with half of the machine unless told otherwise."""
    torch.set_num_threads(threads)
    train_reader(BLUEPRINT, settings or ReaderTraining(), folder)


def denoiser_stage(
    folder: Path, settings: DenoiserTraining | None = None, workers: int = 2
) -> None:
    """The denoiser, one worker for every core."""
    work = partial(train_denoiser, BLUEPRINT, settings or DenoiserTraining(), folder)
    run_team(work, workers, folder)


def train_all(folder: Path, workers: int = 2) -> None:
    """Run what is not finished; the reader and the autoencoder beside each other."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    beside: dict[str, Work] = {"autoencoder": autoencoder_stage, "reader": reader_stage}
    run_beside([work for name, work in beside.items() if not has_finished(folder, name)], folder)
    if not has_finished(folder, "denoiser"):
        denoiser_stage(folder, workers=workers)


def run_beside(stages: list[Work], folder: Path) -> None:
    """Run stages in processes of their own until all have ended.

    Raises RuntimeError if one of them failed.
    """
    context = get_context("spawn")
    processes = [context.Process(target=stage, args=(folder,)) for stage in stages]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    failed = [p.exitcode for p in processes if p.exitcode]
    if failed:
        raise RuntimeError(f"stages: {len(failed)} failed, exit codes {failed}; see their output")
