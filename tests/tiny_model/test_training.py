"""What the stages share."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from lafi_tiny import training
from lafi_tiny.training import (
    MovingAverage,
    device,
    from_pixels,
    learning_rate,
    save_grid,
    save_state,
    set_learning_rate,
    to_pixels,
)

quick = settings(max_examples=50, deadline=None)


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({"avx2", "avx512f", "amx_bf16"}, torch.bfloat16),
        ({"avx2", "avx512_bf16"}, torch.bfloat16),
        ({"avx2", "avx512f"}, torch.float32),
        ({"avx2"}, torch.float32),
        (set(), torch.float32),
    ],
)
def test_a_processor_multiplies_in_bfloat16_only_if_it_has_the_instructions(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], wanted: torch.dtype
) -> None:
    monkeypatch.setattr(training, "cpu_name_and_flags", lambda: ("", frozenset(flags)))
    training._cpu_has_bf16.cache_clear()
    with training.mixed_precision(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == wanted
    training._cpu_has_bf16.cache_clear()


@settings(max_examples=20, deadline=None)
@given(st.integers(200, 1500), st.integers(1, 100), st.floats(1e-5, 1))
def test_the_learning_rate_rises_holds_and_falls_to_zero(
    steps: int, warmup: int, peak: float
) -> None:
    rates = [learning_rate(step, steps, peak, warmup) for step in range(steps + 1)]
    assert min(rates[:-1]) > 0
    assert max(rates) == pytest.approx(peak, rel=1e-12)
    assert rates[-1] == 0
    assert np.all(np.diff(rates[:warmup]) > 0)
    assert np.all(np.diff(rates[warmup:]) <= 0)
    assert set(rates[warmup : 3 * steps // 4]) == {peak}
    assert learning_rate(steps + 10, steps, peak, warmup) == 0


@quick
@given(st.integers(400, 1000), st.integers(1001, 5000))
def test_a_longer_run_had_the_same_rates_until_the_fall(steps: int, longer: int) -> None:
    for step in range(0, 3 * steps // 4, 10):
        assert learning_rate(step, steps, 1.0) == learning_rate(step, longer, 1.0)


def test_every_group_gets_the_rate() -> None:
    a, b = nn.Linear(1, 1), nn.Linear(1, 1)
    optimizer = torch.optim.AdamW([{"params": a.parameters()}, {"params": b.parameters()}])
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@quick
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.floats(0.5, 0.999))
def test_a_moving_average_stays_between_what_it_saw(values: list[float], decay: float) -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, values[0])
    average = MovingAverage(module, decay)
    expected = values[0]
    for n, value in enumerate(values, start=1):
        nn.init.constant_(module.weight, value)
        average.update(module)
        kept = min(decay, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * value
    found = average.module.weight.item()
    assert found == pytest.approx(expected, abs=1e-4)
    assert min(values) - 1e-5 <= found <= max(values) + 1e-5
    assert average.updates == len(values)
    assert module.weight.item() == pytest.approx(values[-1])


def test_a_moving_average_is_a_module_of_its_own() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    average = MovingAverage(module)
    assert module.training
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())
    assert all(p.requires_grad for p in module.parameters())


def test_a_state_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "below" / "state.pt"
    save_state(path, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        save_state(path, {"step": 2, "bad": lambda: None})
    assert torch.load(path, weights_only=True) == {"step": 1}
    save_state(path, {"step": 3})
    assert torch.load(path, weights_only=True) == {"step": 3}
    assert [p.name for p in path.parent.iterdir()] == ["state.pt"]


@quick
@given(st.integers(0, 2**32 - 1))
def test_pixels_survive_the_way_to_tensors_and_back(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    images = from_pixels(pixels)
    assert images.shape == (2, 3, 3, 5)
    assert images.min() >= -1
    assert images.max() <= 1
    assert np.array_equal(to_pixels(images), pixels)


def test_pixels_beyond_the_range_are_clamped() -> None:
    images = torch.tensor([-7.0, -1.0, 1.0, 7.0]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    assert to_pixels(images)[0, 0, :, 0].tolist() == [0, 0, 255, 255]


def test_a_grid_shows_every_picture_in_its_place(tmp_path: Path) -> None:
    pixels = np.stack([np.full((4, 6, 3), 10 * (i + 1), np.uint8) for i in range(5)])
    path = tmp_path / "grids" / "grid.png"
    save_grid(pixels, path, columns=3, zoom=2)
    grid = np.asarray(Image.open(path))
    assert grid.shape == (2 * (8 + 2), 3 * (12 + 2), 3)
    for index in range(5):
        row, column = divmod(index, 3)
        assert grid[10 * row + 4, 14 * column + 6, 0] == 10 * (index + 1)


def test_the_device_can_be_computed_on() -> None:
    assert torch.ones(2, device=device()).sum().item() == 2
