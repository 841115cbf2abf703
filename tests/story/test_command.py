import io
import sys
from pathlib import Path

import pytest

from lafi.board.storyboard import load_storyboard, parse_storyboard
from lafi_story import command
from lafi_story.command import story
from lafi_story.plan import Plan
from lafi_story.rules import RulePlanner

TEXT = 'Mia ran across the meadow. "Wait!" cried Tim. Tim sat down. Mia waved to Tim.'


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch, english_rules: RulePlanner) -> None:
    monkeypatch.setattr(command, "RulePlanner", lambda words: english_rules)


@pytest.fixture
def novel(tmp_path: Path) -> Path:
    path = tmp_path / "novel.txt"
    path.write_text(TEXT)
    return path


def test_a_file_becomes_a_storyboard_with_its_steps_beside_it(
    tmp_path: Path, novel: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "story.yaml"
    assert story(str(novel), str(out)) == 0
    board = load_storyboard(out)
    assert (board.title, {c.name for c in board.characters}) == ("novel", {"mia", "tim"})
    assert (tmp_path / "story.steps" / "panels.yaml").is_file()
    said = capsys.readouterr()
    assert said.out == ""
    assert "the text says nothing of the looks" in said.err


def test_a_storyboard_that_was_edited_is_not_overwritten(
    tmp_path: Path, novel: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "story.yaml"
    assert [story(str(novel), str(out)) for _ in range(2)] == [0, 0]
    out.write_text("mine")
    assert story(str(novel), str(out)) == 1
    assert out.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    assert story(str(novel), str(out), overwrite=True) == 0
    assert load_storyboard(out).panels


def test_standard_input_and_output(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    monkeypatch.chdir(tmp_path)
    assert story("-", "-", Plan(panels=1)) == 0
    assert len(parse_storyboard(capsysbinary.readouterr().out.decode()).panels) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_a_clear_line(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert story(str(tmp_path / "none.txt"), "-") == 1
    assert "none.txt, allowed: a text file (No such file" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["", "/"])
def test_what_is_no_name_of_a_file_is_refused(
    out: str, novel: Path, capsys: pytest.CaptureFixture[str]
):
    assert story(str(novel), out) == 1
    assert f"--out: got {out!r}, allowed: a file's name" in capsys.readouterr().err
