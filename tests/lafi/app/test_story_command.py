"""`lafi story`: options reach the function behind them; a missing extra is named."""

import sys
import types
from typing import Any

import pytest
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi_story.plan import Plan

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_options_reach_the_planner(monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[Any, ...]] = []

    def record(*args: Any, **options: Any) -> int:
        calls.append((args, options))
        return 7

    fake = types.ModuleType("lafi_story.command")
    fake.story = record  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lafi_story.command", fake)
    arguments = ["story", "novel.txt", "--out", "-", "--panels", "5", "--encoding", "gb18030"]
    arguments += ["--poses", "net"]
    assert runner.invoke(app, arguments).exit_code == 7
    ((args, options),) = calls
    assert args == ("novel.txt", "-", Plan(panels=5, encoding="gb18030", poses="net"))
    assert options == {"steps": None, "overwrite": False}


def test_more_panels_than_a_storyboard_holds_are_refused():
    result = runner.invoke(app, ["story", "n.txt", "--out", "-", "--panels", "65"])
    assert result.exit_code == 2
    assert "64" in result.output


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    fake = types.ModuleType("lafi_story.command")

    def story(*args: Any, **options: Any) -> int:
        raise ModuleNotFoundError("No module named 'spacy'", name="spacy")

    fake.story = story  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lafi_story.command", fake)
    result = runner.invoke(app, ["story", "n.txt", "--out", "-"])
    assert result.exit_code == 1
    assert "pip install 'lafi[story]'" in result.output
