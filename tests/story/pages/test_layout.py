"""Laws of the layouts, for panels of any form and text of any length under them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_story.pages.box import Box
from lafi_story.pages.grid import FREE, PLAIN, Grid
from lafi_story.pages.layout import MOST_STRETCH, SHEETS, STRIP, Cell, Layout, Wanted
from lafi_story.pages.webtoon import Webtoon

WANTED = st.lists(
    st.tuples(st.floats(0.4, 2.5), st.floats(1, 5), st.sampled_from([0.0, 0.0, 0.0, 60_000.0])),
    min_size=1,
    max_size=10,
).map(lambda given: [wanted(*one) for one in given])
ORDERS = st.sampled_from(["ltr", "rtl"])
LAYOUTS = st.one_of(
    st.builds(
        Grid, st.sampled_from([SHEETS["a4"], SHEETS["a5"]]), ORDERS, st.sampled_from([PLAIN, FREE])
    ),
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
            below = whole(one).y1 <= other.picture.y0
            beside = (
                one.picture.x1 <= other.picture.x0
                if layout.order == "ltr"
                else other.picture.x1 <= one.picture.x0
            )
            assert below or beside
            if one.picture.x0 != other.picture.x0 and below:
                # A new row: it is below all that came before it.
                before = page.cells[: page.cells.index(other)]
                assert all(whole(cell).y1 <= other.picture.y0 for cell in before)


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
