"""Forgetting a picture erases what was made of it, by this server or another one."""

import hashlib
from pathlib import Path

from lafi.store.forgetting import forget_pictures
from lafi.store.record import Facts, Record
from lafi.store.settings import STORE, journal_of, sent_pictures_of, store_of

PICTURE, OTHER = b"mia", b"tom"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_panels_and_storyboards_with_the_picture_go_and_others_stay(tmp_path: Path) -> None:
    environment, ours, theirs = {STORE: str(tmp_path / "place")}, tmp_path / "a", tmp_path / "b"
    for place, state in enumerate((ours, theirs)):
        store = store_of(environment, state)
        assert store is not None
        for number, picture in enumerate((PICTURE, OTHER)):
            facts = Facts(
                address=f"{2 * place + number:064x}", seed=1, references=(digest(picture),)
            )
            store.put(Record(facts, b"png"))
        store.close()
    journal = journal_of(environment, ours)
    assert journal is not None
    journal.add("with", b"{}", [OTHER, PICTURE], [["x"]])
    journal.add("without", b"{}", [OTHER], [["y"]])
    sent = sent_pictures_of(environment, ours)
    assert sent is not None
    sent.put("one", PICTURE)
    sent.put("two", OTHER)
    forget_pictures(environment, ours, [digest(PICTURE)])
    assert (sent.find("one"), sent.find("two")) == (None, OTHER)
    left = {path.name for path in (tmp_path / "place").rglob("*") if path.is_file()}
    assert left == {f"{number:064x}" for number in (1, 3)}
    assert [name for name in ("with", "without") if journal.has(name)] == ["without"]
    journal.close()


def test_without_a_store_or_a_picture_nothing_is_touched(tmp_path: Path) -> None:
    forget_pictures({}, tmp_path, [digest(PICTURE)])
    forget_pictures({STORE: "state"}, tmp_path, [])
    assert [*tmp_path.iterdir()] == []
