"""The enrolments in their file: whole, lasting, and safe among many writers."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings import WIDTH, embedding, pictures
from lafi.identity import enrolment_database
from lafi.identity.enrolment_database import EnrolmentDatabase
from lafi.identity.enrolments import EnrolmentDatabaseError, EnrolmentError, Match

OURS, THEIRS = "ab" * 32, "cd" * 32
BAD_FILES = {
    b"": "none of enrolments",
    b"PK\x03\x04 something else": "none of enrolments",
    b"SQLite format 3\0": "none of enrolments",
    b"SQLite format 3\0" + b"\xff" * 9000: "none of enrolments",
}


def database(folder: Path, recogniser: str = OURS) -> EnrolmentDatabase:
    return EnrolmentDatabase(folder, recogniser, WIDTH)


_ENROLMENTS = st.lists(
    st.tuples(st.sampled_from(("mia", "tom", "ann")), st.lists(st.integers(0, 30), max_size=4)),
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(st.data(), _ENROLMENTS)
def test_the_order_of_enrolments_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    enrolments: list[tuple[str, list[int]]],
) -> None:
    states = []
    for order in (enrolments, data.draw(st.permutations(enrolments))):
        made = database(tmp_path_factory.mktemp("order"))
        for name, seeds in order:
            made.enrol(name, pictures(*seeds))
        states.append(made.read())
    assert states[0].pictures == states[1].pictures
    np.testing.assert_array_equal(states[0].embeddings, states[1].embeddings)


@settings(deadline=None, max_examples=40)
@given(_ENROLMENTS, st.integers(31, 60))
def test_who_was_enrolled_is_found_with_score_1(
    tmp_path_factory: pytest.TempPathFactory,
    others: list[tuple[str, list[int]]],
    seed: int,
) -> None:
    made = database(tmp_path_factory.mktemp("found"))
    for name, seeds in others:
        made.enrol(name, pictures(*seeds))
    made.enrol("zoe", pictures(seed))
    match = made.read().nearest(embedding(seed))
    assert match.character == "zoe"
    assert match.score == pytest.approx(1.0, abs=1e-6)


def test_pictures_are_counted_once_and_kept(tmp_path: Path) -> None:
    made = database(tmp_path / "state")
    assert made.read().nearest(embedding(1)) == Match("", -1.0)
    assert made.enrol("mia", pictures(1, 2)) == 2
    assert made.enrol("mia", pictures(2, 3)) == 3
    assert made.enrol("tom", pictures(2)) == 1
    again = database(tmp_path / "state").read()
    assert again.names() == ("mia", "tom")
    np.testing.assert_array_equal(again.embeddings, made.read().embeddings)
    assert made.forget("mia") == 3
    assert made.forget("mia") == 0
    assert database(tmp_path / "state").read().names() == ("tom",)


def test_of_equally_near_characters_the_first_by_name_is_taken(tmp_path: Path) -> None:
    made = database(tmp_path)
    made.enrol("tom", pictures(1))
    made.enrol("mia", pictures(1))
    assert made.read().nearest(embedding(1)).character == "mia"


def test_what_another_enrols_is_noticed(tmp_path: Path) -> None:
    reader, writer = database(tmp_path), database(tmp_path)
    for seed in range(20):
        writer.enrol(f"c{seed}", pictures(seed))
        assert reader.read().nearest(embedding(seed)).character == f"c{seed}"
    writer.forget("c3")
    assert "c3" not in reader.read().names()


@pytest.mark.parametrize("content", BAD_FILES)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    made = database(tmp_path)
    made.path.write_bytes(content)
    for call in (made.read, lambda: made.enrol("mia", pictures(1)), lambda: made.forget("mia")):
        with pytest.raises(EnrolmentError, match=BAD_FILES[content]):
            call()
    assert made.path.read_bytes() == content


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_damaged_file_is_never_read_as_another_one(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    made = database(tmp_path_factory.mktemp("damaged"))
    made.enrol("mia", pictures(1, 2, 3), embedding(8))
    made.enrol("tom", pictures(4))
    whole = made.read()
    content = bytearray(made.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    made.path.write_bytes(bytes(content))
    again = database(made.path.parent)
    try:
        state = again.read()
    except EnrolmentDatabaseError as error:
        assert str(error).startswith(f"{made.path}: got a")
        assert made.path.read_bytes() == content
    else:
        # What was hit says nothing about anybody.
        assert state.pictures == whole.pictures
        np.testing.assert_array_equal(state.embeddings, whole.embeddings)
        np.testing.assert_array_equal(state.descriptions["mia"], whole.descriptions["mia"])


def test_damage_that_came_after_reading_is_not_sealed_by_a_change(tmp_path: Path) -> None:
    made = database(tmp_path)
    made.enrol("mia", pictures(1, 2))
    assert made.read().of("mia") == 2
    content = made.path.read_bytes().replace(embedding(1).tobytes(), embedding(9).tobytes())
    made.path.write_bytes(content)
    for change in (lambda: made.enrol("tom", pictures(3)), lambda: made.forget("mia")):
        with pytest.raises(EnrolmentDatabaseError, match="got a damaged file"):
            change()
    assert made.path.read_bytes() == content


def test_a_file_without_its_owner_is_damaged(tmp_path: Path) -> None:
    made = database(tmp_path)
    made.enrol("mia", pictures(1))
    with closing(sqlite3.connect(made.path, isolation_level=None)) as other:
        other.execute("DELETE FROM owner")
    for reader in (made, database(tmp_path)):
        with pytest.raises(EnrolmentDatabaseError, match="got a damaged file"):
            reader.read()


def test_a_cut_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    made = database(tmp_path)
    for name in range(20):
        made.enrol(f"c{name}", pictures(*range(40)))
    content = made.path.read_bytes()
    assert len(content) > 5 * 4096
    for end in (*range(0, len(content), 1500), len(content) - 1):
        made.path.write_bytes(content[:end])
        with pytest.raises(EnrolmentDatabaseError, match=r"got a .*file"):
            database(tmp_path).read()
        assert made.path.read_bytes() == content[:end]


def test_embeddings_of_another_recogniser_are_left_alone(tmp_path: Path) -> None:
    theirs = database(tmp_path, THEIRS)
    theirs.enrol("mia", pictures(1))
    ours = database(tmp_path)
    assert ours.read().names() == ()
    assert ours.others() == (theirs.path,)
    ours.enrol("tom", pictures(2))
    assert database(tmp_path, THEIRS).read().names() == ("mia",)


def test_a_file_of_another_recogniser_under_our_name_is_refused(tmp_path: Path) -> None:
    theirs = database(tmp_path, THEIRS)
    theirs.enrol("mia", pictures(1))
    ours = database(tmp_path)
    theirs.path.rename(ours.path)
    with pytest.raises(EnrolmentError, match=f"of the recogniser {THEIRS[:16]}, allowed: width 4"):
        ours.read()


def test_there_is_a_limit_for_one_and_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolment_database, "MAX_PICTURES_EACH", 3)
    monkeypatch.setattr(enrolment_database, "MAX_PICTURES", 4)
    made = database(tmp_path)
    made.enrol("mia", pictures(1, 2, 3))
    with pytest.raises(EnrolmentError, match="pictures of mia: got 4, allowed: at most 3"):
        made.enrol("mia", pictures(4))
    with pytest.raises(EnrolmentError, match="pictures: got 5 in all, allowed: at most 4"):
        made.enrol("tom", pictures(1, 2))
    assert made.read().of("mia") == 3
    assert made.read().names() == ("mia",)


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in its place")
    made = database(tmp_path / "state")
    with pytest.raises(EnrolmentError, match="a folder that cannot be written to"):
        made.enrol("mia", pictures(1))


def test_threads_that_write_lose_nothing(tmp_path: Path) -> None:
    def write(number: int) -> None:
        mine = database(tmp_path)
        for step in range(5):
            mine.enrol(f"c{number}", pictures(step))
            mine.enrol("all", pictures(100 + 10 * number + step))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = database(tmp_path).read()
    assert {name: state.of(name) for name in state.names()} == {
        "all": 30,
        **{f"c{number}": 5 for number in range(6)},
    }


WRITER = """
import os, signal, sys
import numpy as np
from pathlib import Path
from lafi.identity import enrolment_database
folder, name, count, dies = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
database = enrolment_database.EnrolmentDatabase(folder, "ab" * 32, 4)
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if dies == "before the file is there":
    os.replace = die
if dies == "in the change":
    enrolment_database.EnrolmentDatabase._seal = die
for step in range(count):
    database.enrol(name, {f"{name}{step}": np.eye(4, dtype=np.float32)[step % 4]})
if dies == "after the change":
    die()
"""


def writer(folder: Path, name: str, count: int, dies: str = "") -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name, str(count), dies])


def test_processes_that_write_lose_nothing(tmp_path: Path) -> None:
    processes = [writer(tmp_path, f"c{number}", 8) for number in range(4)]
    seen: list[int] = []
    reader = database(tmp_path)
    while any(process.poll() is None for process in processes):
        seen.append(len(reader.read().pictures))
    assert [process.returncode for process in processes] == [0] * 4
    state = database(tmp_path).read()
    assert {name: state.of(name) for name in state.names()} == {f"c{n}": 8 for n in range(4)}
    assert seen == sorted(seen), "a reader sees whole states, one after the other"


@pytest.mark.parametrize(("dies", "kept"), [("in the change", 0), ("after the change", 1)])
def test_a_writer_that_is_killed_loses_nothing_of_others(
    tmp_path: Path, dies: str, kept: int
) -> None:
    made = database(tmp_path)
    made.enrol("mia", pictures(1))
    assert writer(tmp_path, "tom", 1, dies).wait() == -signal.SIGKILL
    assert made.read().of("mia") == 1
    assert made.read().of("tom") == kept
    assert made.enrol("ann", pictures(2)) == 1
    assert made.read().of("mia") == 1
    assert len(os.listdir(tmp_path)) == 2, "the lock and the file, nothing half-written"


def test_the_first_writer_may_be_killed_too(tmp_path: Path) -> None:
    assert writer(tmp_path, "tom", 1, "before the file is there").wait() == -signal.SIGKILL
    made = database(tmp_path)
    assert made.read().names() == ()
    assert made.enrol("ann", pictures(2)) == 1
    assert len(os.listdir(tmp_path)) == 2, "the lock and the file, nothing half-written"


def test_a_writer_killed_at_any_moment_leaves_whole_changes(tmp_path: Path) -> None:
    made = database(tmp_path)
    moments = random.Random(0)
    for turn in range(4):
        process = writer(tmp_path, f"c{turn}", 60)
        while process.poll() is None and not made.read().of(f"c{turn}"):
            pass
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.wait()
        state = database(tmp_path).read()
        known = sorted(int(digest[2:]) for name, digest in state.pictures if name == f"c{turn}")
        assert known == [*range(len(known))]
        assert known
    assert made.enrol("ann", pictures(2)) == 1


def test_a_file_that_others_keep_locked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolment_database, "_BUSY_SECONDS", 0.05)
    made = database(tmp_path)
    made.enrol("mia", pictures(1))
    with closing(sqlite3.connect(made.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EnrolmentDatabaseError, match=r"cannot be used \(database is locked\)"):
            made.enrol("tom", pictures(2))
    assert made.enrol("tom", pictures(2)) == 1


def test_only_the_user_may_read(tmp_path: Path) -> None:
    made = database(tmp_path / "state")
    made.enrol("mia", pictures(1))
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.path.parent.iterdir()}
    assert modes == {"enrolled.lock": 0o600, made.path.name: 0o600}
    assert made.path.parent.stat().st_mode & 0o777 == 0o700


def test_what_is_forgotten_is_wiped_from_the_file(tmp_path: Path) -> None:
    made = database(tmp_path)
    made.enrol("mia", pictures(1))
    made.enrol("tom", pictures(2), embedding(8))
    secrets = (b"tom", embedding(2).tobytes(), embedding(8).tobytes())
    assert all(each in made.path.read_bytes() for each in secrets)
    made.forget("tom")
    assert not any(each in made.path.read_bytes() for each in secrets)


def test_a_file_of_a_later_format_is_left_alone(tmp_path: Path) -> None:
    made = database(tmp_path)
    made.enrol("mia", pictures(1))
    with closing(sqlite3.connect(made.path)) as later:
        later.execute("PRAGMA user_version = 2")
    content = made.path.read_bytes()
    for call in (made.read, lambda: made.enrol("tom", pictures(2))):
        with pytest.raises(EnrolmentDatabaseError, match="a file of format 2, allowed: format 1"):
            call()
    assert made.path.read_bytes() == content


def test_a_description_is_replaced_and_goes_with_the_character(tmp_path: Path) -> None:
    made = database(tmp_path)
    made.enrol("mia", pictures(1), embedding(8))
    made.enrol("tom", pictures(2))
    assert made.enrol("mia", pictures(3)) == 2
    again = database(tmp_path).read()
    assert [*again.descriptions] == ["mia"]
    np.testing.assert_array_equal(again.descriptions["mia"], embedding(8))
    assert made.enrol("mia", pictures(1), embedding(9)) == 2
    np.testing.assert_array_equal(database(tmp_path).read().descriptions["mia"], embedding(9))
    made.forget("mia")
    assert database(tmp_path).read().descriptions == {}
    assert database(tmp_path).read().names() == ("tom",)


def test_a_description_by_another_text_tower_is_ignored(tmp_path: Path) -> None:
    one, other = (EnrolmentDatabase(tmp_path, OURS, WIDTH, tower) for tower in ("aa", "bb"))
    one.enrol("mia", pictures(1), embedding(8))
    assert [*one.read().descriptions] == ["mia"]
    assert other.read().descriptions == {}
    assert other.read().names() == ("mia",)


def test_an_enrolled_picture_is_its_characters_whatever_is_said_of_others(tmp_path: Path) -> None:
    own = embedding(1)
    near = own + 0.4 * embedding(2)
    made = database(tmp_path)
    made.enrol("tom", {"0" * 64: own})
    made.enrol("ann", {"1" * 64: (near / np.linalg.norm(near)).astype(np.float32)}, own)
    state = made.read()
    # What is said of ann fits tom's picture better than her own does.
    assert state.nearest(own, 1.0) == Match("tom", pytest.approx(1.0, abs=1e-6))
