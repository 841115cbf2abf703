"""Laws of the layouts, for panels of any form and text of any length under them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_story.pages.balloons import Order
from lafi_story.pages.box import Box
from lafi_story.pages.layout import MOST_STRETCH, SHEETS, STRIP, Cell, Grid, Layout, Wanted, Webtoon

WANTED = st.lists(
    st.tuples(st.floats(0.4, 2.5), st.floats(1, 5), st.sampled_from([0.0, 0.0, 0.0, 60_000.0])),
    min_size=1,
    max_size=10,
).map(lambda given: [wanted(*one) for one in given])
ORDERS = st.sampled_from(["ltr", "rtl"])
LAYOUTS = st.one_of(
    st.builds(Grid, st.sampled_from([SHEETS["a4"], SHEETS["a5"]]), ORDERS),
    st.builds(Webtoon, st.just(STRIP), ORDERS),
)


def wanted(aspect: float, weight: float = 1.0, text: float = 0.0) -> Wanted:
    """`text`: the area under the panel in square pixels."""
    return Wanted(aspect, weight, lambda width: text / width)


def whole(cell: Cell) -> Box:
    low = cell.below.y1 if cell.below else cell.picture.y1
    return cell.picture._replace(y1=low)


@settings(max_examples=40, deadline=None)
@given(WANTED, LAYOUTS)
def test_all_panels_are_inside_the_margins_once_each_and_apart(
    panels: list[Wanted], layout: Layout
):
    pages = layout.pages(panels)
    assert [cell.panel for page in pages for cell in page.cells] == [*range(len(panels))]
    sheet = layout.sheet
    for page in pages:
        inner = Box(
            sheet.margin, sheet.margin, sheet.width - sheet.margin, page.height - sheet.margin
        )
        assert page.height <= sheet.height
        for at, cell in enumerate(page.cells):
            assert inner.grown(0.01).holds(whole(cell))
            for other in page.cells[at + 1 :]:
                assert whole(cell).grown(sheet.gutter / 2 - 0.01).shared(whole(other)) == 0


@settings(max_examples=40, deadline=None)
@given(WANTED, LAYOUTS)
def test_panels_are_read_in_their_order(panels: list[Wanted], layout: Layout):
    for page in layout.pages(panels):
        for one, other in zip(page.cells, page.cells[1:], strict=False):
            if one.picture.y0 == other.picture.y0:
                assert (one.picture.x0 < other.picture.x0) == (layout.order == "ltr")
            else:
                assert one.picture.y1 <= other.picture.y0


@settings(max_examples=40, deadline=None)
@given(WANTED, LAYOUTS)
def test_at_most_an_eighth_of_a_side_is_cut_away(panels: list[Wanted], layout: Layout):
    for page in layout.pages(panels):
        for cell in page.cells:
            cut = panels[cell.panel].aspect / (cell.picture.width / cell.picture.height)
            assert 1 / MOST_STRETCH - 1e-9 <= cut <= MOST_STRETCH + 1e-9


@settings(max_examples=40, deadline=None)
@given(WANTED, LAYOUTS)
def test_text_under_a_panel_has_the_height_that_it_needs(panels: list[Wanted], layout: Layout):
    for page in layout.pages(panels):
        for cell in page.cells:
            needs = panels[cell.panel].below
            assert (cell.below is None) == (needs(100) == 0)
            if cell.below is not None:
                assert cell.below.height == pytest.approx(needs(cell.below.width))
                assert cell.below.y0 == cell.picture.y1


def test_from_right_to_left_is_the_mirror_image():
    panels = [wanted(1.0), wanted(0.7), wanted(1.5), wanted(1.0)]
    there, back = (Grid(SHEETS["a4"], order).pages(panels) for order in ("ltr", "rtl"))
    for page, mirrored in zip(there, back, strict=True):
        for cell, other in zip(page.cells, mirrored.cells, strict=True):
            assert other.picture.x0 == pytest.approx(1240 - cell.picture.x1)
            assert other.picture.y0 == cell.picture.y0


@pytest.mark.parametrize("order", ["ltr", "rtl"])
def test_six_squares_are_one_page_of_a4(order: Order):
    (page,) = Grid(SHEETS["a4"], order).pages([wanted(1.0)] * 6)
    assert len({cell.picture.y0 for cell in page.cells}) == 3


def test_what_weighs_more_is_larger():
    pages = Grid(SHEETS["a4"], "ltr").pages([wanted(1.0, 4.0), wanted(1.0), wanted(1.0)])
    areas = [c.picture.width * c.picture.height for page in pages for c in page.cells]
    assert areas[0] > 2 * max(areas[1:])


def test_a_strip_is_cut_between_panels():
    pages = Webtoon(STRIP, "ltr").pages([wanted(0.5)] * 20)
    assert len(pages) > 1
    assert all(page.height <= STRIP.height for page in pages)
