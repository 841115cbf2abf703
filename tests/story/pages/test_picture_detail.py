"""Where figures begin, on pictures whose figures are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from lafi_story.pages.box import Box
from lafi_story.pages.picture_detail import CELLS, PictureDetail, detail_of

SIDE = 256


def drawn(tops: list[float], *, frame: bool = False, side: int = SIDE) -> Image.Image:
    """Striped figures side by side on a plain ground, each with a head at its top (0 to 1)."""
    image = Image.new("RGB", (side, side), "#88aacc")
    draw = ImageDraw.Draw(image)
    for place, top in enumerate(tops):
        middle = side * (place + 0.5) / len(tops)
        half, y = side / len(tops) / 3.5, top * side
        for line in range(int(y), side, side // 10):
            draw.rectangle((middle - half, line, middle + half, line + side // 20), fill="#221100")
        draw.line((middle, y, middle, side), fill="#ffeecc", width=side // 32)
        if frame:  # a picture on the wall
            box = (middle - half, 0.1 * side, middle + half, 0.2 * side)
            draw.rectangle(box, outline="black", width=4)
    return image


@given(
    tops=st.lists(st.floats(0.13, 0.65), min_size=1, max_size=3),
    side=st.sampled_from([64, 256, 500]),
)
def test_a_head_is_where_a_figure_begins(tops: list[float], side: int):
    detail = detail_of(drawn(tops, side=side))
    for place, top in enumerate(tops):
        found = detail.head(place / len(tops), (place + 1) / len(tops))
        assert found is not None
        assert abs(found[0] - top) <= 1.5 / CELLS
        assert found[0] < found[1] <= 1


def test_something_small_above_a_figure_is_no_head():
    found = detail_of(drawn([0.5], frame=True)).head(0, 1)
    assert found is not None
    assert abs(found[0] - 0.5) <= 1.5 / CELLS


@pytest.mark.parametrize("top", [0.0, 0.95, None])
def test_where_nothing_stands_out_no_head_is_found(top: float | None):
    image = Image.new("RGB", (SIDE, SIDE), "#88aacc") if top is None else drawn([top])
    assert detail_of(image).head(0, 1) is None


@given(
    x=st.floats(0, 90), y=st.floats(0, 90), width=st.floats(1, 100), height=st.floats(1, 100),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_what_a_box_covers_is_a_mean_of_cells(
    x: float, y: float, width: float, height: float, seed: int
):
    cells = np.random.default_rng(seed).random((CELLS, CELLS))
    detail = PictureDetail(cells)
    body = Box(x, y, min(x + width, 100.0), min(y + height, 100.0))
    assert cells.min() - 1e-9 <= detail.covered(body, 100, 100) <= cells.max() + 1e-9
    assert np.isclose(detail.covered(Box(0, 0, 100, 100), 100, 100), cells.mean())
    left = Box(0, 0, 50, 100)
    assert np.isclose(detail.covered(left, 100, 100), cells[:, : CELLS // 2].mean())


def test_a_figure_has_more_detail_than_its_ground():
    detail = detail_of(drawn([0.5]))
    assert np.isclose(detail.cells.mean(), 1)
    above, figure = Box(60, 10, 190, 110), Box(60, 140, 190, 250)
    assert detail.covered(figure, SIDE, SIDE) > 10 * detail.covered(above, SIDE, SIDE)
