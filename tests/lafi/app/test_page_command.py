"""`lafi page`: options reach the function behind them; a missing extra is named."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lafi.app.cli import app

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_options_reach_the_command(monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[Any, ...]] = []

    def record(*args: Any, **options: Any) -> int:
        calls.append((args, options))
        return 7

    fake = types.ModuleType("lafi_story.pages.command")
    fake.page = record  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lafi_story.pages.command", fake)
    arguments = ["page", "drawing", "--out", "o", "--story", "s.yaml", "--format", "pdf,svg"]
    assert runner.invoke(app, [*arguments, "--order", "rtl"]).exit_code == 7
    assert calls == [
        (
            (Path("drawing"), Path("o")),
            {
                "story": Path("s.yaml"),
                "layout": "grid",
                "order": "rtl",
                "size": "",
                "formats": "pdf,svg",
                "captions": "sentence",
                "font": None,
                "signing": None,
            },
        )
    ]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    fake = types.ModuleType("lafi_story.pages.command")

    def page(*args: Any, **options: Any) -> int:
        raise ModuleNotFoundError("No module named 'fpdf'", name="fpdf")

    fake.page = page  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lafi_story.pages.command", fake)
    result = runner.invoke(app, ["page", "drawing", "--out", "o"])
    assert result.exit_code == 1
    assert "pip install 'lafi[story]'" in result.output
