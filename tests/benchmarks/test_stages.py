"""The parts of `benchmarks.stages`: the counter of figures, counted work, equal work."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from benchmarks.stages.counted_work import Work
from benchmarks.stages.figure_counter import (
    FigureCounter,
    counter_error,
    halved,
)


def test_a_halved_picture_has_the_mean_of_four_pixels() -> None:
    pixels = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    small = halved(pixels, side=4)
    assert small.shape == (2, 4, 4, 3)
    assert small[1, 2, 3, 0] == round(float(pixels[1, 4:6, 6:8, 0].astype(float).mean()))


def test_pictures_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        halved(np.zeros((1, 6, 6, 3), np.uint8), side=4)


def test_work_is_rows_times_positions_over_all_calls() -> None:
    work = Work()
    work.add(torch.zeros(3, 4, 8, 2))
    work.add(torch.zeros(1, 4, 5, 5))
    assert work.row_tokens == 3 * 16 + 25


class _Says(FigureCounter):
    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__()
        self.numbers = list(numbers)

    def count(self, images: torch.Tensor) -> list[int]:
        return self.numbers[: len(images)]


def test_the_error_knows_pictures_of_one_figure_from_those_of_more() -> None:
    error = counter_error(_Says([1, 2, 1, 3]), torch.zeros(4, 3, 8, 8), torch.tensor([1, 1, 2, 3]))
    assert (error.pictures, error.called_doubled, error.missed) == (4, 0.5, 0.5)
