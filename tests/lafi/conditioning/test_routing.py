"""Routing tables, the window of steps, and regions."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.conditioning.routing import Reading, region_weights, routing_ports
from lafi.sampling.window import in_window

quick = settings(max_examples=50, deadline=None)
unit = st.floats(0.0, 1.0, allow_nan=False)


@quick
@given(st.data(), st.integers(1, 6), st.integers(1, 5), st.integers(0, 3))
def test_a_row_reads_its_sources_in_its_layers_and_nothing_else(
    data: st.DataObject, rows: int, layers: int, bank: int
) -> None:
    readings = []
    chosen = st.sets(st.integers(0, layers - 1)).map(lambda them: tuple(sorted(them)))
    for _ in range(rows):
        sources = tuple(data.draw(st.lists(st.integers(0, rows + bank - 1), max_size=3)))
        regions = tuple(torch.full((2, 3), 0.25 * (i + 1)) for i in range(len(sources)))
        readings.append(Reading(sources, regions, data.draw(chosen), 0.5))
    table = routing_ports(readings, layers, (2, 3), bank)
    assert table["routes"].dtype == torch.int32
    assert table["region"].shape == (*table["bias"].shape, 2, 3)
    for row, reading in enumerate(readings):
        for layer in range(layers):
            read = tuple(r for r in table["routes"][layer, row].tolist() if r >= 0)
            assert read == (reading.sources if layer in reading.layers else ())
        for slot, weights in enumerate(reading.regions):
            assert torch.equal(table["region"][row, slot], weights)
            assert table["bias"][row, slot] == 0.5


def test_a_batch_that_reads_nothing_still_has_one_slot() -> None:
    table = routing_ports([Reading(), Reading()], 3, (4, 4))
    assert table["routes"].shape == (3, 2, 1)
    assert (table["routes"] == -1).all()


def test_regions_are_there_for_slots_that_read_nothing() -> None:
    left = torch.tensor([[1.0, 0.0]])
    table = routing_ports([Reading(regions=(left, 1 - left)), Reading()], 2, (1, 2))
    assert (table["routes"] == -1).all()
    assert torch.equal(table["region"][0], torch.stack([left, 1 - left]))
    assert (table["region"][1] == 1).all()


def test_a_source_without_a_region_is_refused() -> None:
    with pytest.raises(ValueError, match="regions of row 0: got 0, allowed 1 or more"):
        routing_ports([Reading((0,))], 1, (2, 2))


def test_a_source_outside_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sources\[0\] of row 0: got 1, allowed 0 to 0"):
        routing_ports([Reading((1,), (torch.ones(2, 2),))], 1, (2, 2))


def test_a_source_behind_the_bank_is_refused() -> None:
    reading = Reading((3,), (torch.ones(2, 2),), (0,))
    assert routing_ports([reading], 1, (2, 2), bank=3)["routes"].tolist() == [[[3]]]
    with pytest.raises(ValueError, match=r"sources\[0\] of row 0: got 3, allowed 0 to 2"):
        routing_ports([reading], 1, (2, 2), bank=2)


@quick
@given(st.integers(1, 100), st.integers(0, 20), st.integers(0, 20))
def test_the_window_is_start_to_end_without_end(steps: int, start: int, end: int) -> None:
    """Compared with exact fractions, at edges of twentieths that binary numbers do not have."""
    for step in range(steps):
        share = Fraction(step, steps)
        inside = Fraction(start, 20) <= share < Fraction(end, 20)
        assert in_window(step, steps, start / 20, end / 20) == inside


def test_the_published_window_is_the_first_four_fifths() -> None:
    assert [in_window(i, 30, 0.0, 0.8) for i in range(30)] == [True] * 24 + [False] * 6


@quick
@given(unit, unit, unit, unit, st.integers(1, 9), st.integers(1, 9))
def test_a_region_covers_its_share_of_the_cells(
    a: float, b: float, c: float, d: float, height: int, width: int
) -> None:
    box = (min(a, b), min(c, d), max(a, b), max(c, d))
    weights = region_weights(box, (height, width))
    assert weights.shape == (height, width)
    assert weights.min() >= 0.0
    assert weights.max() <= 1.0
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert weights.sum().item() == pytest.approx(area * height * width, abs=1e-4)


def test_regions_are_left_to_right_and_top_to_bottom() -> None:
    weights = region_weights((0.0, 0.5, 0.25, 1.0), (2, 2))
    assert weights.tolist() == [[0.0, 0.0], [0.5, 0.0]]


def test_the_whole_panel_is_weight_one() -> None:
    assert (region_weights((0.0, 0.0, 1.0, 1.0), (7, 9)) == 1.0).all()
