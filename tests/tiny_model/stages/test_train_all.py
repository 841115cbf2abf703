"""All stages in their order, and only those that are not finished."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lafi_tiny.stages import train_all as module
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.commands import app
from lafi_tiny.stages.stage_folder import RECOGNISER, has_finished, mark_finished, training_folder
from lafi_tiny.who import figure_pool
from lafi_tiny.who.train_describer import DescriberTraining
from lafi_tiny.who.train_recogniser import RecogniserTraining


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Stages that were run, with their cores."""
    runs: list[tuple[str, int]] = []

    def noting(name: str) -> object:
        return lambda folder, cores: runs.append((name, cores))

    monkeypatch.setattr(module, "STAGES", {name: noting(name) for name in module.STAGES})
    return runs


def test_everything_runs_in_an_empty_folder(done: list[tuple[str, int]], tmp_path: Path) -> None:
    module.train_all(tmp_path / "new", cores=3)
    assert done == [(name, 3) for name in module.STAGES]


def test_finished_stages_are_left_out(done: list[tuple[str, int]], tmp_path: Path) -> None:
    for stage in ("autoencoder", "denoiser", "few_steps"):
        mark_finished(tmp_path, stage)
    module.train_all(tmp_path)
    assert done == [("reader", 2), ("larger", 2), ("recogniser", 2), ("transformer", 2)]


def test_a_single_stage_is_run_or_refused(done: list[tuple[str, int]], tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["stage", "reader", "--folder", str(tmp_path)])
    assert (run.exit_code, done) == (0, [("reader", 2)])
    refused = CliRunner().invoke(app, ["stage", "hand", "--folder", str(tmp_path)])
    assert refused.exit_code == 2
    assert "allowed: autoencoder, reader, denoiser" in " ".join(refused.output.split())


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAFI_TRAINING", "/somewhere")
    assert training_folder() == Path("/somewhere")
    monkeypatch.delenv("LAFI_TRAINING")
    assert training_folder() == Path("out/training")


def test_the_recognisers_stage_uses_the_frozen_autoencoder_and_the_tokenizer(
    plan: Blueprint, with_autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(with_autoencoder, tmp_path / "run"))
    short = RecogniserTraining(steps=1, batch=2, pictures=4, sides=(32, 32, 32))
    monkeypatch.setattr(figure_pool, "CHUNK", 4)
    monkeypatch.setattr(module, "BLUEPRINT", plan)
    monkeypatch.setattr(module, "RecogniserTraining", lambda: short)
    monkeypatch.setattr(module, "DescriberTraining", lambda: DescriberTraining(steps=1, batch=2))
    module.recogniser_stage(folder, cores=1)
    assert has_finished(folder, RECOGNISER)
    assert {path.name for path in (folder / RECOGNISER).glob("*.safetensors")} == {
        *("teacher.safetensors", "student.safetensors", "describer.safetensors")
    }
