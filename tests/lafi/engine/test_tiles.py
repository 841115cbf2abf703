"""Tiles: every pixel is kept once, and far from every cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lafi.engine.onnx.tiles import core_side, spans, tile_side

SIDES = st.integers(1, 2500)
REACHES = st.sampled_from([0, 1, 18, 94, 349])


@given(SIDES, REACHES)
def test_every_pixel_is_kept_once(side: int, reach: int) -> None:
    kept = np.concatenate([np.arange(span.first, span.last) for span in spans(side, reach)])
    np.testing.assert_array_equal(kept, np.arange(side))


@given(SIDES, REACHES)
def test_what_is_kept_lies_far_from_every_cut(side: int, reach: int) -> None:
    for span in spans(side, reach):
        assert 0 <= span.start <= span.first < span.last <= span.stop <= side
        assert span.start == 0 or span.first - span.start >= reach
        assert span.stop == side or span.stop - span.last >= reach


@given(SIDES, REACHES)
def test_no_tile_is_larger_than_it_may_be(side: int, reach: int) -> None:
    found = spans(side, reach)
    assert all(span.stop - span.start <= tile_side(reach) for span in found)
    assert len(found) == 1 or side > tile_side(reach)
    assert len(found) <= -(-side // core_side(reach))


def test_slices_count_from_the_picture_and_from_the_tile() -> None:
    first, second = spans(400, 18)
    assert (first.read, first.kept, first.inside) == (slice(0, 218), slice(0, 200), slice(0, 200))
    assert (second.read, second.kept) == (slice(182, 400), slice(200, 400))
    assert second.inside == slice(18, 218)
