"""The reader's stage: views of one figure, a few steps, and its floor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.architecture import Architecture
from lafi_tiny.dataset import DatasetSpec
from lafi_tiny.reader import CLASSES, halves, load_reader
from lafi_tiny.train_reader import (
    READER_FILE,
    STATE_FILE,
    ReaderTraining,
    measure_floor,
    single_views,
    through_vae,
    train_reader,
)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 10_000))
def test_a_view_shows_the_figure_and_the_scene_it_is_labelled_with(seed: int, first: int) -> None:
    pictures = [DatasetSpec().picture(first + i) for i in range(12)]
    images = torch.rand(12, 3, 8, 8)
    left, right = halves(images)
    views, figures, scenes = single_views(images, pictures, np.random.default_rng(seed))
    assert views.shape == images.shape
    for row, picture in enumerate(pictures):
        if picture.kind == "single":
            side, expected = 0, images[row]
        else:
            side = int(torch.equal(views[row], right[row]))
            expected = (left, right)[side][row]
        assert torch.equal(views[row], expected)
        assert figures[row] is picture.figures[side]
        assert scenes[row] is picture.scenes[side if picture.kind == "strip" else 0]


def test_both_sides_are_looked_at() -> None:
    pictures = [p for p in map(DatasetSpec().picture, range(200)) if p.kind != "single"]
    _, figures, _ = single_views(
        torch.zeros(len(pictures), 3, 4, 4), pictures, np.random.default_rng(0)
    )
    rights = [f is p.figures[1] for f, p in zip(figures, pictures, strict=True)]
    assert np.mean(rights) == pytest.approx(0.5, abs=0.15)


def test_pictures_through_the_vae_stay_pictures(vae: AutoencoderKL) -> None:
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    decoded = through_vae(vae, images)
    assert decoded.shape == images.shape
    assert decoded.dtype == torch.float32
    assert decoded.abs().max() <= 1


def test_a_seed_makes_a_reader(folder: Path, tiny: Architecture) -> None:
    kept = load_reader(folder / READER_FILE)
    (folder / STATE_FILE).unlink()
    again = train_reader(tiny, ReaderTraining(steps=2, batch=4), folder)
    for a, b in zip(kept.parameters(), again.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-3)


def test_a_run_goes_on_where_it_stopped(folder: Path, tiny: Architecture) -> None:
    kept = torch.load(folder / STATE_FILE, weights_only=True)
    again = train_reader(tiny, ReaderTraining(steps=kept["step"], batch=4), folder)
    assert all(torch.equal(v, kept["reader"][k]) for k, v in again.state_dict().items())
    train_reader(tiny, ReaderTraining(steps=kept["step"] + 1, batch=4), folder)
    longer = torch.load(folder / STATE_FILE, weights_only=True)
    assert longer["step"] == kept["step"] + 1
    assert longer["optimizer"]["state"][0]["step"] == longer["step"]


def test_the_floor_is_a_share_of_every_class_and_an_angle(
    finished: Path, tiny: Architecture
) -> None:
    floor = measure_floor(tiny, finished, count=32)
    assert floor.keys() == {*CLASSES, "angle_error_degrees"}
    assert all(0 <= floor[name] <= 1 for name in CLASSES)
    assert 0 <= floor["angle_error_degrees"] <= 180
