"""All stages in their order, each where it stopped."""

import os
from functools import partial
from pathlib import Path

import torch

from lafi_tiny.stages.autoencoder import AutoencoderTraining, load_average, train_autoencoder
from lafi_tiny.stages.blueprint import BLUEPRINT
from lafi_tiny.stages.few_steps import FewStepsTraining, train_few_steps
from lafi_tiny.stages.larger import LargerTraining, train_larger
from lafi_tiny.stages.stage_folder import RECOGNISER, has_finished, mark_finished
from lafi_tiny.stages.tokenizer import stage_tokenizer
from lafi_tiny.stages.train_denoiser import DenoiserTraining, train_denoiser
from lafi_tiny.stages.train_reader import ReaderTraining, train_reader
from lafi_tiny.stages.train_transformer import TRANSFORMER_TRAINING, train_transformer
from lafi_tiny.stages.transformer_blueprint import TRANSFORMER_BLUEPRINT
from lafi_tiny.team import run_team
from lafi_tiny.who.train_describer import DescriberTraining, train_describer
from lafi_tiny.who.train_recogniser import RecogniserTraining, train_recognisers


def autoencoder_stage(folder: Path, cores: int) -> None:
    """The autoencoder, on as many threads."""
    torch.set_num_threads(cores)
    train_autoencoder(BLUEPRINT, AutoencoderTraining(), folder)


def reader_stage(folder: Path, cores: int) -> None:
    """The reader, on as many threads."""
    torch.set_num_threads(cores)
    train_reader(BLUEPRINT, ReaderTraining(), folder)


def denoiser_stage(folder: Path, cores: int) -> None:
    """The denoiser, with as many workers of one thread each."""
    run_team(partial(train_denoiser, BLUEPRINT, DenoiserTraining(), folder), cores, folder)


def larger_stage(folder: Path, cores: int) -> None:
    """The denoiser at larger sides, with as many workers of one thread each."""
    run_team(partial(train_larger, BLUEPRINT, LargerTraining(), folder), cores, folder)


def few_steps_stage(folder: Path, cores: int) -> None:
    """The LoRA that draws in a few steps, on as many threads."""
    torch.set_num_threads(cores)
    train_few_steps(BLUEPRINT, FewStepsTraining(), folder)


def recogniser_stage(folder: Path, cores: int) -> None:
    """Both recognisers, with as many workers of one thread each, then their text tower."""
    state = folder / RECOGNISER
    state.mkdir(parents=True, exist_ok=True)
    vae = load_average(BLUEPRINT, folder)
    run_team(partial(train_recognisers, RecogniserTraining(), state, vae), cores, state)
    torch.set_num_threads(cores)
    train_describer(DescriberTraining(), state, stage_tokenizer(folder))
    mark_finished(folder, RECOGNISER)


def transformer_stage(folder: Path, cores: int) -> None:
    """The small transformer, with as many workers of one thread each."""
    plans = BLUEPRINT, TRANSFORMER_BLUEPRINT
    work = partial(train_transformer, *plans, TRANSFORMER_TRAINING, folder)
    run_team(work, cores, folder)


STAGES = {
    "autoencoder": autoencoder_stage,
    "reader": reader_stage,
    "denoiser": denoiser_stage,
    "larger": larger_stage,
    "few_steps": few_steps_stage,
    RECOGNISER: recogniser_stage,
    "transformer": transformer_stage,
}


def train_all(folder: Path, cores: int = 2) -> None:
    """Run what is not finished. The reader stands before anything that is drawn is judged."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, stage in STAGES.items():
        if not has_finished(folder, name):
            print(f"stage {name}, process {os.getpid()}", flush=True)
            stage(folder, cores)
