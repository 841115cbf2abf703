"""`lafi store` lists, checks and empties."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.store.record import Facts, Record
from lafi.store.settings import BESIDE_STATE, STORE, store_of

RUNNER = CliRunner()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    store = store_of({STORE: BESIDE_STATE}, tmp_path / "state")
    assert store is not None
    for digits in ("ab", "cd"):
        store.put(Record(Facts(address=digits * 32, seed=1), b"png"))
    store.close()
    return tmp_path


def test_list_names_panels_and_what_must_stay(repository: Path) -> None:
    result = RUNNER.invoke(app, ["store", "list", str(repository)], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "ab" * 32 in result.output
    assert "2 panels" in result.output
    assert "24.0 h" in result.output


def test_check_names_the_damaged_one(repository: Path) -> None:
    whole = RUNNER.invoke(app, ["store", "check", str(repository)])
    assert (whole.exit_code, whole.output) == (0, "2 panels, 0 damaged\n")
    (path,) = (repository / "state" / "panels").rglob("ab" * 32)
    path.write_bytes(b"")
    result = RUNNER.invoke(app, ["store", "check", str(repository)])
    assert result.exit_code == 1
    assert f"damaged: {'ab' * 32}" in result.output


def test_empty_asks_first(repository: Path) -> None:
    kept = RUNNER.invoke(app, ["store", "empty", str(repository)], input="n\n")
    assert kept.exit_code == 1
    assert len([*(repository / "state" / "panels").rglob("ab*/*")]) == 1
    gone = RUNNER.invoke(app, ["store", "empty", str(repository), "--yes"])
    assert gone.output == "2 files erased\n"
    assert [p for p in (repository / "state" / "panels").rglob("*") if p.is_file()] == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["store", "list", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "nowhere: no such folder" in result.output
