"""All stages in their order, and only those that are not finished."""

from pathlib import Path

import pytest

from lafi_tiny.stages import train_all as module
from lafi_tiny.stages.stage_folder import mark_finished, training_folder


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the stages that were run."""
    names: list[str] = []

    def beside(stages: list[module.Work], folder: Path) -> None:
        names.extend(stage.__name__ for stage in stages)

    monkeypatch.setattr(module, "run_beside", beside)
    monkeypatch.setattr(module, "denoiser_stage", lambda folder, workers: names.append("denoiser"))
    return names


def test_everything_runs_in_an_empty_folder(done: list[str], tmp_path: Path) -> None:
    module.train_all(tmp_path / "new")
    assert done == ["autoencoder_stage", "reader_stage", "denoiser"]


def test_finished_stages_are_left_out(done: list[str], tmp_path: Path) -> None:
    for stage in ("autoencoder", "denoiser"):
        mark_finished(tmp_path, stage)
    module.train_all(tmp_path)
    assert done == ["reader_stage"]


def _fail(folder: Path) -> None:
    raise SystemExit(3)


def test_a_failed_stage_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"stages: 1 failed, exit codes \[3\]"):
        module.run_beside([_fail], tmp_path)


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAFI_TRAINING", "/somewhere")
    assert training_folder() == Path("/somewhere")
    monkeypatch.delenv("LAFI_TRAINING")
    assert training_folder() == Path("out/training")
