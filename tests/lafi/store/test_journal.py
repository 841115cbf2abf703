"""What was accepted is there after a crash, and goes when it is acknowledged, old or forgotten."""

import hashlib
import logging
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.store.journal import JOURNAL_FILE, Journal, JournalFullError

PICTURE = b"a picture"


def opened(folder: Path, **options: object) -> Journal:
    return Journal(folder / JOURNAL_FILE, **{"retention": 100.0, **options})  # type: ignore[arg-type]


def added(journal: Journal, identifier: str = "a", **options: object) -> None:
    panels = [["p0"], ["p1", "p1-large"]]
    journal.add(identifier, b"{}", [PICTURE], panels, ["mia"], **options)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return opened(tmp_path)


def test_it_counts_what_it_knows(journal: Journal) -> None:
    assert journal.count() == 0
    added(journal, "a")
    added(journal, "b")
    assert journal.count() == 2
    journal.remove(["a"])
    assert journal.count() == 1


def test_it_outlives_whoever_wrote_it_and_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    added(opened(folder), detach=True)  # and never closed
    again = opened(folder)
    assert again.request("a") == (b"{}", [PICTURE])
    assert [each.id for each in again.unfinished()] == ["a"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {0o600}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=12))
def test_an_address_may_go_once_no_storyboard_waits_for_it(held: list[tuple[str, int]]) -> None:
    """b and c share all panels with a, each under the same address."""
    with TemporaryDirectory() as folder:
        journal = opened(Path(folder))
        for identifier in "abc":
            journal.add(identifier, b"{}", [], [["x"], ["y"], ["z"]])
        left = {(identifier, number) for identifier in "abc" for number in range(3)}
        for identifier, number in held:
            known = any(who == identifier for who, _ in left)
            answer = journal.acknowledge(identifier, [number], in_flight=False)
            assert (answer is not None) == known
            left.discard((identifier, number))
            if answer is not None:
                waiting = {"xyz"[number] for _, number in left}
                assert not waiting & {*answer[0]}
                assert ("xyz"[number] in answer[0]) == ("xyz"[number] not in waiting)
                assert answer[1] == sum(who == identifier for who, _ in left)
        assert {who for who in "abc" if journal.has(who)} == {who for who, _ in left}
        journal.close()


def test_portraits_may_go_with_the_last_panel(journal: Journal) -> None:
    added(journal)
    assert journal.acknowledge("a", [0], in_flight=False) == (["p0"], 1)
    answer = journal.acknowledge("a", [1], in_flight=False)
    assert answer is not None
    assert {*answer[0]} >= {"p1", "p1-large"}
    assert not journal.has("a")


def test_in_flight_it_stays_until_it_ends(journal: Journal) -> None:
    added(journal)
    assert journal.acknowledge("a", [0, 1], in_flight=True) is not None
    assert journal.has("a")
    journal.end("a", "finished")
    assert not journal.has("a")


def test_an_acknowledgement_of_something_unknown_changes_nothing(journal: Journal) -> None:
    added(journal)
    assert journal.acknowledge("b", [0], in_flight=False) is None
    assert journal.acknowledge("a", [7, -1], in_flight=False) == ([], 2)


def test_what_is_older_than_the_retention_goes(tmp_path: Path) -> None:
    now = [1000.0]
    journal = opened(tmp_path, clock=lambda: now[0])
    added(journal)
    now[0] += 99
    added(journal, "b")
    assert journal.expire() == []
    now[0] += 2
    assert journal.expire() == [], "b waits for the same panels"
    assert [who for who in "ab" if journal.has(who)] == ["b"]
    now[0] += 100
    assert {*journal.expire()} == {"p0", "p1", "p1-large", "mia"}


def test_room_is_made_of_what_nobody_draws_and_never_of_what_was_promised(tmp_path: Path) -> None:
    size = len(b"{}") + len(PICTURE)
    journal = opened(tmp_path, max_bytes=3 * size)
    added(journal, "promised", detach=True)
    added(journal, "left")
    added(journal, "drawn")
    added(journal, "new", in_flight=["drawn"])
    assert [w for w in ("promised", "left", "drawn", "new") if journal.has(w)] == [
        *("promised", "drawn", "new")
    ]
    with pytest.raises(JournalFullError, match=f"may hold {3 * size} bytes, .* take {3 * size}"):
        added(journal, "more", in_flight=["drawn", "new"])
    assert journal.has("new"), "a refusal forgets nothing"
    assert journal.bytes() == 3 * size


def test_a_picture_leads_to_the_storyboards_that_contain_it(journal: Journal) -> None:
    added(journal)
    journal.add("b", b"{}", [b"another"], [["q"]])
    assert journal.with_picture(hashlib.sha256(PICTURE).hexdigest()) == ["a"]
    journal.remove(["a"])
    assert journal.with_picture(hashlib.sha256(PICTURE).hexdigest()) == []


def test_nothing_of_a_forgotten_storyboard_is_left_in_the_file(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.add("a", b"a secret " * 50, [], [["p"]])
    journal.remove(["a"])
    journal.close()
    assert b"a secret" not in (tmp_path / JOURNAL_FILE).read_bytes()


def scrambled(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes(reversed(data[100:])))


@pytest.mark.parametrize(
    "damage",
    [scrambled, lambda path: path.write_bytes(b"no database at all" * 100)],
    ids=["scrambled", "foreign"],
)
def test_a_damaged_file_is_set_aside_and_said(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened(tmp_path)
    added(journal)
    journal.close()
    damage(tmp_path / JOURNAL_FILE)
    with caplog.at_level(logging.ERROR):
        again = opened(tmp_path)
    assert "the journal is damaged" in caplog.text
    assert "set aside as journal.sqlite.damaged-" in caplog.text
    assert len([*tmp_path.glob("journal.sqlite.damaged-*")]) == 1
    assert not again.has("a")
    added(again)
    assert again.has("a")


def test_a_file_that_cannot_be_opened_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).mkdir()
    with pytest.raises(sqlite3.OperationalError):
        opened(tmp_path)
    assert (tmp_path / JOURNAL_FILE).is_dir()


def test_a_journal_from_before_there_were_keys_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as rows, rows:
        rows.execute(
            "CREATE TABLE storyboard (id TEXT PRIMARY KEY, accepted REAL NOT NULL, "
            "detach INTEGER NOT NULL, state TEXT NOT NULL, lives INTEGER NOT NULL, "
            "bytes INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID"
        )
        row = ("old", time.time(), 1, "open", 0, 2, b"{}")
        rows.execute("INSERT INTO storyboard VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    with closing(Journal(path, retention=1000.0)) as journal:
        assert journal.owner("old") == ""
        journal.add("new", b"{}", [], [], owner="mia")
        assert (journal.owner("new"), journal.owner("none")) == ("mia", None)
        assert [each.id for each in journal.unfinished()] == ["old"]
