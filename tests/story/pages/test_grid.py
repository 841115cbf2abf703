"""Pages of rows, and of rows with panels above one another."""

import pytest

from lafi_story.pages.balloons import Order
from lafi_story.pages.grid import FREE, PLAIN, Aims, Grid
from lafi_story.pages.layout import SHEETS, LaidOut, Wanted


def wanted(aspect: float, weight: float = 1.0) -> Wanted:
    return Wanted(aspect, weight)


def areas(pages: list[LaidOut]) -> list[float]:
    return [c.picture.width * c.picture.height for page in pages for c in page.cells]


@pytest.mark.parametrize("aims", [PLAIN, FREE])
def test_from_right_to_left_is_the_mirror_image(aims: Aims):
    panels = [wanted(1.0), wanted(0.7, 3.0), wanted(1.5), wanted(1.0)]
    there, back = (Grid(SHEETS["a4"], order, aims).pages(panels) for order in ("ltr", "rtl"))
    for page, mirrored in zip(there, back, strict=True):
        for cell, other in zip(page.cells, mirrored.cells, strict=True):
            assert other.picture.x0 == pytest.approx(1240 - cell.picture.x1)
            assert other.picture.y0 == cell.picture.y0


@pytest.mark.parametrize("order", ["ltr", "rtl"])
def test_six_squares_are_one_page_of_a4(order: Order):
    (page,) = Grid(SHEETS["a4"], order).pages([wanted(1.0)] * 6)
    assert len({cell.picture.y0 for cell in page.cells}) == 3


def test_what_weighs_more_is_larger():
    found = areas(Grid(SHEETS["a4"], "ltr").pages([wanted(1.0, 4.0), wanted(1.0), wanted(1.0)]))
    assert found[0] > 2 * max(found[1:])


def test_a_grid_puts_nothing_above_one_another_in_a_row():
    for page in Grid(SHEETS["a4"], "ltr").pages([wanted(1.0, 1 + n % 3) for n in range(20)]):
        tops = {cell.picture.y0 for cell in page.cells}
        lows = {cell.picture.y1 for cell in page.cells}
        assert len(tops) == len(lows)


def test_on_free_pages_two_small_ones_stand_beside_a_large_one():
    panels = [wanted(1.0, weight) for weight in (3.0, 1.0, 1.0, 2.0, 2.0)]
    first, *_ = Grid(SHEETS["a4"], "ltr", FREE).pages(panels)
    large, upper, lower = (cell.picture for cell in first.cells[:3])
    assert upper.x0 == lower.x0 > large.x1
    assert upper.y1 < lower.y0
    assert (large.y0, large.y1) == pytest.approx((upper.y0, lower.y1))


@pytest.mark.parametrize("count", range(1, 12))
def test_free_pages_hold_all_panels_on_no_more_pages(count: int):
    panels = [wanted(1.0, (1.0, 2.5, 1.0, 4.0)[n % 4]) for n in range(count)]
    plain = Grid(SHEETS["a4"], "ltr").pages(panels)
    free = Grid(SHEETS["a4"], "ltr", FREE).pages(panels)
    assert [cell.panel for page in free for cell in page.cells] == [*range(count)]
    assert len(free) <= len(plain)
