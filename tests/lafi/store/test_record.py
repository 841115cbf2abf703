"""A record is what was written, or nothing."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.store.record import DamagedError, Facts, Record, unpacked

ADDRESS = "ab" * 32
RECORDS = st.builds(
    Record,
    st.builds(
        Facts,
        address=st.just(ADDRESS),
        seed=st.integers(0, 2**63 - 1),
        scores=st.dictionaries(st.integers(0, 3), st.floats(-1, 1), max_size=4),
        attempt=st.integers(1, 9),
        attempts=st.integers(1, 9),
        references=st.lists(st.just("cd" * 32), max_size=2).map(tuple),
    ),
    st.binary(max_size=200),
)


@settings(deadline=None)
@given(RECORDS)
def test_what_is_packed_comes_back(record: Record) -> None:
    assert unpacked(record.packed(), ADDRESS) == record


@settings(deadline=None, max_examples=200)
@given(RECORDS, st.data())
def test_any_changed_or_missing_byte_is_noticed(record: Record, data: st.DataObject) -> None:
    packed = bytearray(record.packed())
    place = data.draw(st.integers(0, len(packed) - 1))
    if data.draw(st.booleans()):
        packed[place] ^= data.draw(st.integers(1, 255))
    else:
        packed = packed[:place]
    with pytest.raises(DamagedError, match=ADDRESS):
        unpacked(bytes(packed), ADDRESS)


def test_a_record_under_another_address_is_refused() -> None:
    record = Record(Facts(address=ADDRESS, seed=1), b"png")
    with pytest.raises(DamagedError, match=f"{'cd' * 32}: it holds {ADDRESS}"):
        unpacked(record.packed(), "cd" * 32)


def test_a_file_says_nothing_about_words() -> None:
    record = Record(Facts(address=ADDRESS, seed=1, scores={0: 0.5}), b"png")
    said = json.loads(record.packed().split(b"\n")[1])
    assert said.keys() == {"address", "seed", "scores", "attempt", "attempts", "references"}
