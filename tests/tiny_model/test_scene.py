"""Backgrounds."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lafi_tiny.attributes import BACKGROUNDS, TIMES, Scene
from lafi_tiny.figure import OVERSAMPLE
from lafi_tiny.scene import draw_scene

scenes = st.builds(Scene, st.sampled_from(BACKGROUNDS), st.sampled_from(TIMES))


def _pixels(scene: Scene, seed: int, width: int = 64, height: int = 64) -> NDArray[np.uint8]:
    return np.asarray(draw_scene(scene, width, height, np.random.default_rng(seed)))


@settings(max_examples=20, deadline=None)
@given(scenes, st.integers(0, 2**31), st.sampled_from([(64, 64), (32, 64), (96, 96)]))
def test_a_scene_is_a_function_of_its_seed_at_the_size_asked_for(
    scene: Scene, seed: int, size: tuple[int, int]
) -> None:
    width, height = size
    pixels = _pixels(scene, seed, width, height)
    assert pixels.shape == (height * OVERSAMPLE, width * OVERSAMPLE, 3)
    assert np.array_equal(pixels, _pixels(scene, seed, width, height))


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_seeds_make_a_place_look_different(background: str) -> None:
    views = [_pixels(Scene(background, "day"), seed) for seed in range(4)]
    assert len({view.tobytes() for view in views}) == 4


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_it_gets_darker_from_day_to_night(background: str) -> None:
    day, sunset, night = (
        np.mean([_pixels(Scene(background, t), seed).mean() for seed in range(3)])
        for t in ("day", "sunset", "night")
    )
    assert day > sunset + 5
    assert sunset > night + 20


def test_no_two_scenes_look_the_same() -> None:
    """Colours, row by row, differ more between any two scenes than between two of one scene."""
    keys = list(product(BACKGROUNDS, TIMES))
    rows = np.array(
        [[_pixels(Scene(*key), seed).mean(axis=1) for seed in range(3)] for key in keys]
    )
    means = rows.mean(axis=1)
    within = np.abs(rows - means[:, None]).mean(axis=(2, 3)).mean()
    between = np.abs(means[:, None] - means[None]).mean(axis=(2, 3))
    np.fill_diagonal(between, np.inf)
    assert between.min() > within
