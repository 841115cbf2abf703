"""What the limit of a denoiser call is made of."""

from pathlib import Path

import pytest
import torch

from benchmarks.cpu_engines import storyboard_batch
from benchmarks.denoiser_limit import (
    PANELS,
    ROWS,
    counted_operations,
    first_rows,
    floor_vs_plain,
)
from lafi.model.checkpoint import read_model_info
from lafi.model.info import ModelInfo


@pytest.fixture
def info(checkpoint: Path) -> ModelInfo:
    return read_model_info(checkpoint)


@pytest.mark.parametrize("rows", [3, 20])
def test_a_batch_has_the_rows_asked_for(info: ModelInfo, rows: int) -> None:
    whole = storyboard_batch(info, 32, "none")
    batch = first_rows(whole, rows)
    assert len(batch["latents"]) == len(batch["text"]) == batch["routes"].shape[1] == rows
    torch.testing.assert_close(batch["latents"][rows - 1], whole["latents"][(rows - 1) % 9])


def test_all_rows_read_the_one_behind_them(info: ModelInfo) -> None:
    batch = storyboard_batch(info, 32, "all", PANELS)
    assert len(batch["latents"]) == ROWS + 1
    assert (batch["routes"][:, :ROWS] == ROWS).all()
    assert (batch["routes"][:, ROWS] == -1).all()


def test_operations_are_those_of_the_products() -> None:
    a = torch.randn(8, 100, 50)
    assert counted_operations(lambda: a @ a.mT) == pytest.approx(2 * 8 * 100 * 50 * 100 / 1e9)


def test_the_floor_weighs_injected_and_plain_steps() -> None:
    calls = {
        "torch f32": {"least_ms": 120.0},
        f"ours, {ROWS} rows": {"least_ms": 100.0},
        f"ours, {ROWS} rows and a reference": {"least_ms": 125.0},
    }
    assert floor_vs_plain(calls, "ours", "least_ms") == pytest.approx(1.0)
