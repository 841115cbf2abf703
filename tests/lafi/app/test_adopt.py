"""`lafi adopt`: what a critic chose becomes what the file says, and nothing is drawn again."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_triton import FakeTritonServer
from rich.console import Console
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.board.critique import Judgement
from lafi.board.storyboard import Storyboard
from lafi_client.commands import draw
from lafi_client.critiquing import Critique

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
STORY = """\
# two panels
characters:
  - {name: mia, prompt: a slim child}
panels:
  - prompt: "{mia} running by day" # first
  - {prompt: "{mia} waving by day", seed: 7}
"""
BETTER = "{mia} waving in the forest by day"


class Suggesting:
    """Likes the second panel in the forest, and suggests it."""

    name = "suggesting"
    needs_scores = False

    def judge(self, board: Storyboard, number: int, png: bytes, scores: object) -> Judgement:
        """As `Critic`."""
        good = number == 0 or "forest" in board.panels[number].prompt
        return Judgement(1.0) if good else Judgement(0.0, ("no forest",), BETTER)


@pytest.fixture
def server() -> Iterator[FakeTritonServer]:
    fake = FakeTritonServer()
    yield fake
    fake.stop()


def test_the_file_says_what_was_chosen_and_nothing_is_drawn_again(
    server: FakeTritonServer, tmp_path: Path
) -> None:
    story, out = tmp_path / "story.yaml", tmp_path / "panels"
    story.write_text(STORY)
    console = Console(file=io.StringIO())
    assert draw(story, out, server.url, critique=Critique(Suggesting()), console=console) == 0
    assert len(server.received) == 2
    seed = server.received[1].panels[-1].seed
    dry = runner.invoke(app, ["adopt", str(story), "--dry-run"])
    assert (dry.exit_code, story.read_text()) == (0, STORY)
    assert "1 panels would be as the critic has them" in dry.output
    adopted = runner.invoke(app, ["adopt", str(story)])
    assert adopted.exit_code == 0, adopted.output
    wanted = STORY.replace("{mia} waving by day", BETTER).replace("seed: 7", f"seed: {seed}")
    assert story.read_text() == wanted
    assert draw(story, out, server.url, console=console) == 0
    assert len(server.received) == 2
    again = runner.invoke(app, ["adopt", str(story)])
    assert again.exit_code == 0
    assert "0 panels are as the critic has them" in again.output


def test_a_drawing_that_nobody_judged_is_refused(tmp_path: Path) -> None:
    story = tmp_path / "story.yaml"
    story.write_text(STORY)
    refused = runner.invoke(app, ["adopt", str(story), "--out", str(tmp_path / "none")])
    assert refused.exit_code == 1
    assert "critique.json, which has no judged panel" in refused.output
    assert "allowed: a drawing of this file that was judged (--critic)" in refused.output
    assert story.read_text() == STORY


@pytest.fixture
def judged(server: FakeTritonServer, tmp_path: Path) -> Path:
    """A storyboard's file, with a judged drawing beside it."""
    story = tmp_path / "story.yaml"
    story.write_text(STORY)
    console = Console(file=io.StringIO())
    critique = Critique(Suggesting())
    assert draw(story, tmp_path / "panels", server.url, critique=critique, console=console) == 0
    return story


def test_panels_that_are_others_than_those_that_were_judged_are_named(judged: Path) -> None:
    judged.write_text(STORY.replace("running", "sitting"))
    found = runner.invoke(app, ["adopt", str(judged)])
    assert found.exit_code == 0, found.output
    why = "left out: the panel or its settings are not those that were judged"
    assert f"note: panel 0: {why}" in found.output
    assert "note: panel 1" not in found.output
    assert BETTER in judged.read_text()
    # Once more there is nothing left to take, and each panel says why.
    again = runner.invoke(app, ["adopt", str(judged)])
    assert again.exit_code == 1
    assert f"note: panel 0: {why}" in again.output
    chosen = "note: panel 1: left out: it has the chosen prompt and seed already"
    assert chosen in again.output


def test_what_was_put_into_the_file_already_is_no_fault(judged: Path) -> None:
    assert runner.invoke(app, ["adopt", str(judged)]).exit_code == 0
    # Panel 0 was judged as it is, and panel 1 has what was chosen.
    again = runner.invoke(app, ["adopt", str(judged)])
    assert again.exit_code == 0, again.output
    assert "note: panel 0" not in again.output
    assert "note: panel 1: left out: it has the chosen prompt and seed already" in again.output


def test_panels_that_the_file_has_no_longer_are_named(judged: Path) -> None:
    judged.write_text(STORY[: STORY.index("  - {prompt:")])
    found = runner.invoke(app, ["adopt", str(judged)])
    assert found.exit_code == 0, found.output
    assert "note: panel 1: left out: the storyboard has no such panel" in found.output


def test_other_settings_are_refused_with_each_panel(judged: Path) -> None:
    refused = runner.invoke(app, ["adopt", str(judged), "--set", "sampling.steps=7"])
    assert refused.exit_code == 1
    chosen = "it has the chosen prompt and seed already"
    assert f"note: panel 0: left out: {chosen}" in refused.output
    assert "note: panel 1: left out: the panel or its settings" in refused.output
    assert "whose judged panels are all left out" in refused.output
    assert "none as the file has them" not in refused.output
    assert judged.read_text() == STORY
