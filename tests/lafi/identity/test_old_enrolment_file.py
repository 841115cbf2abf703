"""Enrolments of the version before SQLite, which are put into the database once."""

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from embeddings import WIDTH, embedding, pictures
from lafi.identity.enrolment_database import EnrolmentDatabase
from lafi.identity.enrolments import EnrolmentDatabaseError, EnrolmentError

OURS, THEIRS = "ab" * 32, "cd" * 32
BEFORE = Path(__file__).with_name("enrolled_before_sqlite.bin")
"""Written by that version: mia with pictures 1 and 2 and a description 8, tom with picture 3."""
OLD_TOWER = "ef" * 32


def database(folder: Path, recogniser: str = OURS) -> EnrolmentDatabase:
    return EnrolmentDatabase(folder, recogniser, WIDTH)


def old_file(folder: Path, content: bytes | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"enrolled_{OURS[:16]}.bin"
    path.write_bytes(BEFORE.read_bytes() if content is None else content)
    return path


@pytest.mark.parametrize("first", ["read", "enrol", "forget"])
def test_a_file_of_the_earlier_format_is_replaced_once(tmp_path: Path, first: str) -> None:
    old = old_file(tmp_path)
    made = EnrolmentDatabase(tmp_path, OURS, WIDTH, OLD_TOWER)
    if first == "enrol":
        assert made.enrol("mia", pictures(1)) == 2
    if first == "forget":
        assert made.forget("zoe") == 0
    state = made.read()
    assert not old.exists()
    assert state.pictures == (
        *(("mia", digest) for digest in pictures(1, 2)),
        *(("tom", digest) for digest in pictures(3)),
    )
    np.testing.assert_array_equal(state.embeddings, [embedding(seed) for seed in (1, 2, 3)])
    assert [*state.descriptions] == ["mia"]
    np.testing.assert_array_equal(state.descriptions["mia"], embedding(8))
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.forget("mia") == 2
    assert EnrolmentDatabase(tmp_path, OURS, WIDTH, OLD_TOWER).read().names() == ("tom",)


def test_a_file_from_before_descriptions_is_replaced_too(tmp_path: Path) -> None:
    _, rest = BEFORE.read_bytes().split(b"\n", 1)
    header, rows = rest.split(b"\n", 1)
    older = header.replace(b', "words": ["mia"]', b"")
    older = older.replace(f', "describer": "{OLD_TOWER}"'.encode(), b"") + b"\n" + rows[: 3 * 16]
    first = b"lafi enrolments 1 " + hashlib.sha256(older).hexdigest().encode()
    old_file(tmp_path, first + b"\n" + older)
    state = database(tmp_path).read()
    assert (state.names(), dict(state.descriptions)) == (("mia", "tom"), {})
    assert state.nearest(embedding(3)).character == "tom"


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"PK something else", "got a file that is none of enrolments"),
        (BEFORE.read_bytes()[:-1], "got a damaged file"),
        (BEFORE.read_bytes().replace(b"tom", b"tim"), "got a damaged file"),
    ],
)
def test_a_damaged_file_of_the_earlier_format_is_left_alone(
    tmp_path: Path, content: bytes, got: str
) -> None:
    old = old_file(tmp_path, content)
    made = database(tmp_path)
    for call in (made.read, lambda: made.enrol("ann", pictures(4)), lambda: made.forget("tom")):
        with pytest.raises(EnrolmentDatabaseError, match=got) as refused:
            call()
        assert str(refused.value).startswith(f"{old}: ")
    assert old.read_bytes() == content
    assert not made.path.exists()


def test_an_old_file_of_another_recogniser_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / f"enrolled_{THEIRS[:16]}.bin"
    shutil.copy(BEFORE, theirs)
    ours = database(tmp_path)
    assert (ours.read().names(), ours.others()) == ((), (theirs,))
    with pytest.raises(EnrolmentError, match=f"of the recogniser {OURS[:16]}, allowed: width 4"):
        database(tmp_path, THEIRS).read()
    assert theirs.read_bytes() == BEFORE.read_bytes()


def test_many_that_find_an_old_file_replace_it_once(tmp_path: Path) -> None:
    old = old_file(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        enrol = [database(tmp_path).enrol for _ in range(4)]
        made = [threads.submit(each, f"c{n}", pictures(n)) for n, each in enumerate(enrol)]
        assert [each.result() for each in made] == [1] * 4
    state = database(tmp_path).read()
    expected = {"mia": 2, "tom": 1, **{f"c{number}": 1 for number in range(4)}}
    assert {name: state.of(name) for name in state.names()} == expected
    assert not old.exists()
