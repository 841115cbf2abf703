"""`lafi edit` and `lafi polish` on files: what they write, show and refuse."""

from pathlib import Path

import pytest

from lafi.board.error import StoryboardError
from lafi.board.storyboard import load_storyboard
from lafi_story.editing.command import Work, edit, polish

STORY = """\
# mine
characters:
  - {name: mia, prompt: a slim child} # she
panels:
  - prompt: "{mia} running by day" # zero
  - prompt: "{mia} strolls through dark woods, a masterpiece"
    sampling: {stages: [{prompt: "{mia} own"}]}
"""
WORK = Work(load_storyboard)


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    return path


def test_one_panel_is_changed_and_its_lines_are_shown(
    story: Path, capsys: pytest.CaptureFixture[str]
):
    assert edit(story, 0, "make it night", WORK)
    new = STORY.replace('running by day"', 'running at night"')
    assert story.read_text() == new
    shown = capsys.readouterr()
    assert '-  - prompt: "{mia} running by day" # zero' in shown.out
    assert '+  - prompt: "{mia} running at night" # zero' in shown.out
    assert "panel 0: '{mia} running by day' -> '{mia} running at night'" in shown.err
    assert [path.name for path in story.parent.iterdir()] == ["story.yaml"]


def test_a_dry_run_shows_and_writes_nothing(story: Path, capsys: pytest.CaptureFixture[str]):
    work = Work(load_storyboard, dry_run=True)
    assert edit(story, 0, "make it night", work)
    assert polish(story, work) == [1]
    assert story.read_text() == STORY
    shown = capsys.readouterr()
    assert "at night" in shown.out
    assert "1 of 2 prompts would be rewritten" in shown.err


def test_what_is_so_already_is_said(story: Path, capsys: pytest.CaptureFixture[str]):
    assert not edit(story, 0, "by day", WORK)
    assert story.read_text() == STORY
    assert "panel 0 is like that already; nothing is changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "wish", "line"),
    [
        (2, "night", "the panel: got 2, allowed: 0 to 1"),
        (0, " ", "the wish: got ' ', allowed: what is to be another one"),
        (0, "x" * 601, "in 1 to 600 characters"),
        (0, "a dragon", "the wish: got 'dragon', allowed: a change of light"),
    ],
)
def test_what_is_refused_leaves_the_file(story: Path, number: int, wish: str, line: str):
    with pytest.raises(StoryboardError) as refused:
        edit(story, number, wish, WORK)
    assert line in str(refused.value)
    assert story.read_text() == STORY


def test_polish_lists_each_change_and_what_it_left_out(
    story: Path, capsys: pytest.CaptureFixture[str]
):
    assert polish(story, WORK) == [1]
    assert load_storyboard(story).panels[1].prompt == "{mia} standing in the forest"
    said = capsys.readouterr().err
    assert "panel 1: '{mia} strolls through dark woods, a masterpiece' -> " in said
    assert "panel 1: 'strolls through dark' is no word of the vocabulary; left out" in said
    assert "panel 1: stage 0 has its own prompt, unchanged" in said
    assert "1 of 2 prompts are rewritten" in said
    assert polish(story, WORK) == []
    with pytest.raises(StoryboardError, match="--panel: got 7, allowed: 0 to 1"):
        polish(story, WORK, [7])


def test_a_mark_at_the_beginning_of_the_file_stays(story: Path):
    story.write_bytes(b"\xef\xbb\xbf" + STORY.replace("\n", "\r\n").encode())
    assert edit(story, 0, "晚上", WORK)
    raw = story.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf# mine\r\n")
    assert raw.count(b"\r\n") == raw.count(b"\n")


def test_a_control_that_stays_is_named(story: Path, capsys: pytest.CaptureFixture[str]):
    posed = STORY.replace("# zero", "\n    control: [{kind: net, pose: {neck: [0.5, 0.5]}}]")
    story.write_text(posed)
    control = load_storyboard(story).panels[0].control
    assert edit(story, 0, "make her sit", WORK)
    assert "note: panel 0: its control (net) stays as it was" in capsys.readouterr().err
    assert load_storyboard(story).panels[0].control == control != ()
