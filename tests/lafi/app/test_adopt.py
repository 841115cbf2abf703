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
    assert "got 0 panels in" in refused.output
    assert "allowed: a drawing that was judged (--critic)" in refused.output
    assert story.read_text() == STORY
