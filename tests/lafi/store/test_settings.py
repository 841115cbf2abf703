"""A server keeps panels where its environment says."""

from pathlib import Path

import pytest

from lafi.store.record import Facts, Record
from lafi.store.settings import BESIDE_STATE, STORE, STORE_MEGABYTES, store_of

RECORD = Record(Facts(address="ab" * 32, seed=1), b"png")


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert store_of({}, tmp_path) is None
    assert store_of({STORE: ""}, tmp_path) is None
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("beside", [True, False])
def test_panels_lie_beside_the_enrolments_or_where_a_folder_is_named(
    tmp_path: Path, beside: bool
) -> None:
    other, state = tmp_path / "elsewhere", tmp_path / "state"
    store = store_of({STORE: BESIDE_STATE if beside else str(other)}, state)
    assert store is not None
    store.put(RECORD)
    store.close()
    folder = state / "panels" if beside else other
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["ab" * 32]


@pytest.mark.parametrize("text", ["0", "-1", "many", ""])
def test_a_size_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=f"{STORE_MEGABYTES}: got '{text}', allowed: a whole"):
        store_of({STORE: BESIDE_STATE, STORE_MEGABYTES: text}, tmp_path)
