"""Sent pictures are kept for their owner alone, within bounds, and never given out damaged."""

import hashlib
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.store.pictures import PictureStore

DAY = 86400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def store_in(folder: Path, clock: Clock | None = None, max_bytes: int = 100) -> PictureStore:
    return PictureStore(
        folder / "pictures", retention=DAY, max_bytes=max_bytes, clock=clock or Clock()
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=20))
def test_those_that_were_used_last_are_there_within_the_bound(
    steps: list[tuple[bool, int]],
) -> None:
    """Ten bytes each, of which the store holds four."""
    with TemporaryDirectory() as folder:
        store = store_in(Path(folder), max_bytes=40)
        used: list[int] = []
        for is_put, number in steps:
            data = bytes([number]) * 10
            if is_put:
                store.put(f"p{number}", data)
            found = store.find(f"p{number}")
            assert found == (data if is_put or number in used else None)
            if found is not None:
                used = [*(other for other in used if other != number), number][-4:]
            assert store.size() == 10 * len(used)


def test_one_that_is_larger_than_all_is_not_kept(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put("small", b"x")
    store.put("large", b"x" * 101)
    assert store.find("large") is None
    assert store.find("small") == b"x"


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    store_in(tmp_path).put("a", b"picture")
    folder = tmp_path / "pictures"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]


def test_a_later_server_finds_them_until_nobody_has_used_them_for_long(tmp_path: Path) -> None:
    clock = Clock()
    store_in(tmp_path, clock).put("a", b"picture")
    clock.now += DAY / 2
    assert store_in(tmp_path, clock).find("a") == b"picture"
    clock.now += DAY / 2 + 10
    assert store_in(tmp_path, clock).find("a") == b"picture"
    clock.now += DAY + 10
    assert store_in(tmp_path, clock).find("a") is None


def test_a_damaged_file_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put("a", b"picture")
    (file,) = (tmp_path / "pictures").iterdir()
    file.write_bytes(b"pict")
    assert store.find("a") is None
    assert not [*(tmp_path / "pictures").iterdir()]
    store.put("a", b"picture")
    assert store.find("a") == b"picture"


def test_a_picture_is_forgotten_under_every_name(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    for name, data in (("a", b"mia"), ("b", b"mia"), ("c", b"tom")):
        store.put(name, data)
    assert store.forget(hashlib.sha256(b"mia").hexdigest()) == 2
    assert [store.find(name) for name in "abc"] == [None, None, b"tom"]
