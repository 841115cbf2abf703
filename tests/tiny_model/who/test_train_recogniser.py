"""Training of both recognisers: it learns, and goes on exactly where it stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import IDENTITY_CHOICES
from lafi_tiny.who import figure_pool
from lafi_tiny.who import train_recogniser as stage
from lafi_tiny.who.recogniser import HIDDEN, AttributePrototypes
from lafi_tiny.who.train_recogniser import (
    BY_DEFAULT,
    STATE_FILE,
    RecogniserTraining,
    character_loss,
    cosine_rate,
    student_loss,
    train_recognisers,
)

SHORT = RecogniserTraining(steps=4, batch=4, pictures=8, sides=(32, 32, 32), save_every=2)


@pytest.fixture(autouse=True)
def small_pool_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_pool, "CHUNK", 8)


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / STATE_FILE, weights_only=True)["model"]


def test_a_stopped_run_goes_on_to_the_same_weights(
    tmp_path: Path,
    vae: AutoencoderKL,
    stop_at_step_3: Callable[[ModuleType, Callable[[], object]], None],
) -> None:
    train_recognisers(SHORT, tmp_path / "whole", vae)
    stop_at_step_3(stage, lambda: train_recognisers(SHORT, tmp_path / "stopped", vae))
    train_recognisers(SHORT, tmp_path / "stopped", vae)
    whole, stopped = weights_in(tmp_path / "whole"), weights_in(tmp_path / "stopped")
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    assert {p.name for p in (tmp_path / "whole").glob("*.safetensors")} == {
        "student.safetensors",
        "teacher.safetensors",
    }


def test_a_few_steps_lower_the_loss(
    tmp_path: Path, vae: AutoencoderKL, capsys: pytest.CaptureFixture[str]
) -> None:
    # Pictures hardly vary: four of them, over and over.
    train_recognisers(replace(SHORT, steps=11, pictures=4), tmp_path, vae)
    lines = [line for line in capsys.readouterr().out.splitlines() if "loss" in line]
    losses = [float(line.rpartition(" ")[2]) for line in lines]
    assert len(losses) == 2
    assert losses[1] < 0.9 * losses[0]


@given(st.sampled_from(list(IDENTITY_CHOICES)))
def test_what_is_hidden_teaches_nothing_about_its_attribute(name: str) -> None:
    torch.manual_seed(0)
    prototypes = AttributePrototypes()
    embeddings = torch.nn.functional.normalize(torch.randn(3, 128), dim=1)
    labels = torch.zeros(3, len(IDENTITY_CHOICES), dtype=torch.long)
    labels[:, list(IDENTITY_CHOICES).index(name)] = HIDDEN
    loss = character_loss(prototypes, embeddings, labels, SHORT)
    assert torch.isfinite(loss)
    loss.backward()
    moved = {key for key, value in prototypes.directions.items() if value.grad.abs().max() > 0}
    assert moved == set(IDENTITY_CHOICES) - {name}


def test_a_student_that_says_the_same_pays_for_the_labels_alone() -> None:
    torch.manual_seed(0)
    prototypes = AttributePrototypes()
    labels = torch.zeros(3, 9, dtype=torch.long)
    theirs = torch.nn.functional.normalize(torch.randn(3, 128), dim=1)
    same = student_loss(prototypes, theirs, theirs, labels, SHORT, BY_DEFAULT)
    hard = BY_DEFAULT.hard * character_loss(prototypes, theirs, labels, SHORT)
    assert same.item() == pytest.approx(hard.item(), abs=1e-4)


@given(st.integers(1, 2000), st.data())
def test_the_rate_rises_then_falls_to_nothing(steps: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < cosine_rate(step, steps, 2e-3) <= 2e-3
    assert cosine_rate(steps, steps, 2e-3) == pytest.approx(0, abs=1e-9)
    if step >= 20:
        assert cosine_rate(step + 1, steps, 2e-3) < cosine_rate(step, steps, 2e-3)


@given(st.integers(3, 1000))
def test_sides_change_in_thirds(steps: int) -> None:
    training = RecogniserTraining(steps=steps, sides=(32, 48, 64))
    sides = [training.side_at(step) for step in range(steps)]
    assert sides == sorted(sides)
    assert set(sides) == {32, 48, 64}
