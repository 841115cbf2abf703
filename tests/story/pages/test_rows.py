"""Laws of rows: columns that fill the width and end together, with whole pictures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_story.pages.layout import Wanted
from lafi_story.pages.rows import RowRules

WIDTH, GUTTER = 1000.0, 20.0
RULES = RowRules(WIDTH, GUTTER, most=6, columns=3, stacked=3)
PANELS = st.lists(
    st.tuples(st.floats(0.4, 2.5), st.floats(1, 5), st.sampled_from([0.0, 0.0, 20_000.0])),
    min_size=1,
    max_size=6,
).map(lambda given: [Wanted(a, w, lambda width, text=t: text / width) for a, w, t in given])


@given(PANELS)
def test_columns_fill_the_width_and_hold_all_panels_in_order(panels: list[Wanted]):
    for row in RULES.rows(panels, 0, len(panels)):
        total = sum(column.width for column in row.columns) + GUTTER * (len(row.columns) - 1)
        assert total == pytest.approx(WIDTH)
        assert [n for column in row.columns for n in column.panels] == [*range(len(panels))]
        assert len(row.columns) <= 3
        tall = [column for column in row.columns if len(column.panels) > 1]
        assert len(tall) <= 1
        assert all(len(column.panels) <= 3 for column in tall)


@given(PANELS)
def test_without_text_all_pictures_are_whole(panels: list[Wanted]):
    bare = [Wanted(panel.aspect, panel.weight) for panel in panels]
    for row in RULES.rows(bare, 0, len(bare)):
        for column in row.columns:
            assert column.stretch(row.height) == pytest.approx(1)


@given(PANELS, st.floats(0.875, 8 / 7))
def test_no_column_is_stretched_further_than_its_row(panels: list[Wanted], by: float):
    bare = [Wanted(panel.aspect, panel.weight) for panel in panels]
    for row in RULES.rows(bare, 0, len(bare)):
        for column in row.columns:
            stretch = column.stretch(row.stretched(by))
            assert min(1, by) - 1e-6 <= stretch <= max(1, by) + 1e-6


@given(PANELS)
def test_text_between_pictures_has_its_room(panels: list[Wanted]):
    for row in RULES.rows(panels, 0, len(panels)):
        for column in row.columns:
            texts = sum(panels[n].below(column.width) for n in column.panels[:-1])
            assert column.between == pytest.approx(texts + GUTTER * (len(column.panels) - 1))
            assert column.below == panels[column.panels[-1]].below(column.width)
            # Widths and texts depend on each other; rounds bring them near.
            assert column.stretch(row.height) == pytest.approx(1, abs=0.011)


def test_four_panels_stand_beside_and_above_one_another():
    rows = RULES.rows([Wanted(1.0)] * 4, 0, 4)
    shapes = sorted(tuple(len(column.panels) for column in row.columns) for row in rows)
    assert shapes == [(1, 1, 2), (1, 2, 1), (1, 3), (2, 1, 1), (3, 1)]


def test_side_by_side_alone_costs_nothing_where_areas_are_as_wanted():
    side = (WIDTH - GUTTER) / 2
    rules = RowRules(WIDTH, GUTTER, most=3, columns=3, stacked=1)
    (row,) = rules.rows([Wanted(1.0), Wanted(1.0)], 0, 2)
    assert row.areas.off(side * side) == pytest.approx(0, abs=1e-9)
    assert row.height == pytest.approx(side)
