"""The store keeps what it must, drops what it may, and notices damage."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.store.index import Index
from lafi.store.panels import PanelStore, StoreError, StoreFullError, open_store
from lafi.store.place import Folder
from lafi.store.record import Facts, Record

PICTURE = "ee" * 32


def address(number: int) -> str:
    return f"{number:064x}"


def record(number: int, size: int = 100, **facts: object) -> Record:
    given_ = Facts(address=address(number), seed=number, **facts)  # type: ignore[arg-type]
    return Record(given_, bytes(size))


BYTES = len(record(1).packed())


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[PanelStore]:
    store = open_with_room(tmp_path, 3, clock)
    yield store
    store.close()


def open_with_room(folder: Path, panels: int, clock: Clock) -> PanelStore:
    index = Index(folder / "index.sqlite")
    place = Folder(folder / "panels")
    return PanelStore(place, index, max_bytes=panels * BYTES, retention=1e6, clock=clock)


def test_a_panel_comes_back_after_a_restart(tmp_path: Path) -> None:
    url = str(tmp_path / "panels")
    store = open_store(url, tmp_path)
    store.put(record(1, scores={0: 0.5}))
    store.close()
    again = open_store(url, tmp_path)
    assert again.get(address(1)) == record(1, scores={0: 0.5})
    assert again.get(address(2)) is None
    assert (again.stats().hits, again.stats().misses) == (1, 1)
    again.close()


def test_what_was_used_longest_ago_goes_first(store: PanelStore, clock: Clock) -> None:
    for number in (1, 2, 3):
        clock.now += 1
        store.put(record(number), pinned=0.0)
    clock.now += 1
    store.get(address(1))
    store.put(record(4), pinned=0.0)
    assert {kept.address for kept in store.all()} == {address(1), address(3), address(4)}
    assert store.get(address(2)) is None
    assert store.stats().evictions == 1


def test_what_was_not_acknowledged_stays_and_the_rest_is_refused(
    store: PanelStore, clock: Clock
) -> None:
    for number in (1, 2, 3):
        store.put(record(number), pinned=10.0)
    with pytest.raises(StoreFullError, match="not acknowledged yet take"):
        store.put(record(4))
    assert store.get(address(4)) is None
    store.acknowledge([address(2)])
    store.put(record(4), pinned=10.0)
    assert store.get(address(2)) is None
    clock.now += 11
    store.put(record(5))
    assert store.get(address(5)) is not None


def test_a_panel_may_replace_itself_where_there_is_no_other_room(store: PanelStore) -> None:
    for number in (1, 2, 3):
        store.put(record(number))
    store.put(record(3))
    assert len(store.all()) == 3


def test_what_nobody_asks_for_goes_after_the_retention(store: PanelStore, clock: Clock) -> None:
    store.put(record(1), pinned=5.0)
    clock.now += 2e6
    store.put(record(2))
    assert [kept.address for kept in store.all()] == [address(2)]


def test_a_damaged_file_is_as_good_as_none(store: PanelStore, tmp_path: Path) -> None:
    store.put(record(1))
    (path,) = (tmp_path / "panels").rglob(address(1))
    path.write_bytes(path.read_bytes()[:-1])
    assert [found for found, _ in store.check()] == [address(1)]
    assert store.get(address(1)) is None
    assert not path.exists()
    assert store.stats().damaged == 1


def test_a_place_that_fails_is_counted(store: PanelStore, tmp_path: Path) -> None:
    store.put(record(1))
    (path,) = (tmp_path / "panels").rglob(address(1))
    path.unlink()
    path.mkdir()
    assert store.get(address(1)) is None
    with pytest.raises(StoreError):
        store.put(record(1))
    assert store.stats().errors == 2


def test_panels_of_a_forgotten_picture_are_erased(store: PanelStore, tmp_path: Path) -> None:
    store.put(record(1, references=(PICTURE,)))
    store.put(record(2))
    assert store.forget(PICTURE) == 1
    assert store.forget(PICTURE) == 0
    assert [kept.address for kept in store.all()] == [address(2)]
    assert [*(tmp_path / "panels").rglob(address(1))] == []


def test_a_lost_index_is_made_anew(tmp_path: Path, clock: Clock) -> None:
    first = open_with_room(tmp_path, 3, clock)
    first.put(record(1, references=(PICTURE,)))
    first.close()
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    again = open_with_room(tmp_path, 3, clock)
    assert again.all() == []
    assert [*again.check()] == []
    assert [kept.address for kept in again.all()] == [address(1)]
    assert again.forget(PICTURE) == 1
    again.put(record(2))
    assert again.empty() == 1
    assert again.stats().bytes == 0
    again.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["put", "get", "ack"])), max_size=40))
def test_it_is_never_larger_than_allowed_and_keeps_what_is_pinned(
    tmp_path_factory: pytest.TempPathFactory, doings: list[tuple[int, str]]
) -> None:
    clock = Clock()
    store = open_with_room(tmp_path_factory.mktemp("store"), 3, clock)
    pinned: set[int] = set()
    for number, doing in doings:
        clock.now += 1
        if doing == "ack":
            store.acknowledge([address(number)])
            pinned.discard(number)
        elif doing == "put":
            try:
                store.put(record(number))
                pinned.add(number)
            except StoreFullError:
                assert len(pinned | {number}) > 3
        for kept in pinned:
            assert store.get(address(kept)) is not None
        assert store.stats().bytes <= 3 * BYTES
    store.close()


def test_room_is_missing_for_what_is_not_kept_and_for_what_may_go(store: PanelStore) -> None:
    store.put(record(1))
    store.put(record(2))
    store.acknowledge([address(2)])
    wanted = {address(1): 7, address(2): 7, address(3): 7}
    assert store.missing_room(wanted) == BYTES + 7, "1 must stay anyhow, 2 may go, 3 is to come"
    store.pin([address(2), address(3)])
    assert store.missing_room(wanted) == 7
    assert store.stats().pinned_bytes == 2 * BYTES
