"""Files are there whole or not at all, in a folder and behind fsspec."""

import errno
import os
import stat
import time
from pathlib import Path

import fsspec
import pytest

from lafi.store.place import Folder, Place, open_place


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return open_place(str(tmp_path / "store"))
    fsspec.filesystem("memory").store.clear()
    return open_place("memory://bucket/store")


def test_what_is_written_is_read_replaced_listed_and_removed(place: Place) -> None:
    assert place.read("ab/one") is None
    place.write("ab/one", b"first")
    place.write("ab/one", b"second")
    place.write("cd/two", b"")
    assert place.read("ab/one") == b"second"
    assert dict(place.names()) == {"ab/one": 6, "cd/two": 0}
    place.remove("ab/one")
    place.remove("ab/one")
    assert dict(place.names()) == {"cd/two": 0}


def test_a_folder_is_its_owners_alone(tmp_path: Path) -> None:
    open_place(str(tmp_path / "deep" / "store"))
    assert stat.S_IMODE((tmp_path / "deep" / "store").stat().st_mode) == 0o700


def test_a_disk_that_is_full_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.write("ab/one", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder.write("ab/one", b"new")
    assert folder.read("ab/one") == b"old"
    assert [path.name for path in (tmp_path / "ab").iterdir()] == ["one"]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    for name, hours in (("half", 2), ("being written", 0)):
        partial = tmp_path / "ab" / f"{name}.partial"
        partial.write_bytes(b"ha")
        written = time.time() - 3600 * hours
        os.utime(partial, (written, written))
    folder = Folder(tmp_path)
    assert [*folder.names()] == []
    left = [path.name for path in (tmp_path / "ab").iterdir()]
    assert left == ["being written.partial"], "another server's"


def test_a_url_that_nobody_knows_is_named() -> None:
    with pytest.raises(ValueError, match="store: got 'nowhere://x', allowed: a folder, or a URL"):
        open_place("nowhere://x")
