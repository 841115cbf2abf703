"""Laws of cutting a text into parts and of sharing panels out."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lafi_story.llm.parts import parts_of, shared_out

LENGTHS = st.lists(st.integers(0, 2000), max_size=60)


@given(lengths=LENGTHS, most=st.integers(1, 4000))
def test_parts_are_all_paragraphs_once_in_order_and_no_longer_than_they_may_be(
    lengths: list[int], most: int
):
    parts = parts_of(lengths, most)
    assert [n for part in parts for n in part] == list(range(len(lengths)))
    assert all(len(part) for part in parts)
    for part in parts:
        assert len(part) == 1 or sum(lengths[n] for n in part) <= most
    for part, after in pairwise(parts):
        assert sum(lengths[n] for n in part) + lengths[after.start] > most


@given(count=st.integers(0, 200), weights=st.lists(st.integers(0, 10**6), max_size=40))
def test_every_panel_is_shared_out_by_weight(count: int, weights: list[int]):
    shares = shared_out(count, weights)
    assert len(shares) == len(weights)
    assert sum(shares) == (count if sum(weights) else 0)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - count * weight / max(sum(weights), 1)) <= 1
