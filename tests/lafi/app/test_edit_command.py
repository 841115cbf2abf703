"""`lafi edit` with a scripted server: one panel is drawn again, the others stay."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_triton import FakeTritonServer
from typer.testing import CliRunner

from lafi.app.cli import app

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
STORY = """\
recipe: fast # a recipe is no matter to the edit
characters:
  - {name: mia, prompt: a slim child}
panels:
  - prompt: "{mia} running by day"
  - prompt: "{mia} waving by day" # second
  - prompt: "{mia} sitting by day"
"""


@pytest.fixture
def server() -> Iterator[FakeTritonServer]:
    fake = FakeTritonServer()
    yield fake
    fake.stop()


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(STORY.replace("recipe: fast", "title: a"))
    return path


def test_the_panel_is_drawn_again_and_no_other(
    server: FakeTritonServer, story: Path, tmp_path: Path
):
    panels = tmp_path / "panels"
    assert (
        runner.invoke(app, ["draw", str(story), "-o", str(panels), "--url", server.url]).exit_code
        == 0
    )
    before = {path.name: path.stat().st_mtime_ns for path in panels.glob("panel_*.png")}
    arguments = ["edit", str(story), "1", "make it night", "--server", server.url]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert [len(board.panels) for board in server.received] == [3, 1]
    assert server.received[1].panels[0].prompt == "{mia} waving at night"
    after = {path.name: path.stat().st_mtime_ns for path in panels.glob("panel_*.png")}
    assert {name for name in before if before[name] != after[name]} == {"panel_01.png"}
    assert (
        runner.invoke(app, ["draw", str(story), "-o", str(panels), "--url", server.url]).exit_code
        == 0
    )
    assert len(server.received) == 2  # all of it is as the file says


def test_a_wish_that_is_not_understood_draws_nothing(server: FakeTritonServer, story: Path):
    text = story.read_text()
    result = runner.invoke(app, ["edit", str(story), "1", "a dragon", "--server", server.url])
    assert result.exit_code == 1
    assert "error: the wish: got 'dragon'" in result.output
    assert (story.read_text(), server.received) == (text, [])


def test_options_of_a_drawing_need_a_server(story: Path):
    result = runner.invoke(app, ["edit", str(story), "1", "night", "--upscale", "2"])
    assert result.exit_code == 2
    assert "for --server alone" in result.output
    result = runner.invoke(app, ["edit", str(story), "1", "night", "--server", "x", "--dry-run"])
    assert result.exit_code == 2
    assert "a dry run draws nothing" in result.output


def test_polish_reaches_the_file(story: Path):
    story.write_text(story.read_text().replace("{mia} waving by day", "{mia} beckons in daylight"))
    result = runner.invoke(app, ["polish", str(story), "--panel", "1"])
    assert result.exit_code == 0, result.output
    assert "'{mia} beckons in daylight' -> '{mia} waving by day'" in result.output
    assert '"{mia} waving by day" # second' in story.read_text()
