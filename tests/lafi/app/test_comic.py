"""`lafi comic` from a text to pages, drawn by a scripted server; again only what is missing."""

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_triton import FakeTritonServer
from scripted_llm import form_of, scripted_llm
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.app.comic import PageForm, comic
from lafi.app.critic_options import critic_options
from lafi.board.error import StoryboardError
from lafi_story import command
from lafi_story.plan import Plan
from lafi_story.rules import RulePlanner
from lafi_story.vocabulary import load_vocabulary

TEXT = (
    "Mia ran across the meadow. She had long black hair and a red coat.\n\n"
    '"Wait!" cried Tim. He wore a cap and sat down at the tree.\n\n'
    "The next morning Mia waved in the library. Tim laughed at her joke about the trees.\n"
)
runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture(scope="module")
def rules() -> RulePlanner:
    return RulePlanner(load_vocabulary())


@pytest.fixture
def server() -> Iterator[FakeTritonServer]:
    fake = FakeTritonServer()
    yield fake
    fake.stop()


@pytest.fixture
def novel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rules: RulePlanner) -> str:
    monkeypatch.setattr(command, "RulePlanner", lambda words: rules)
    path = tmp_path / "novel.txt"
    path.write_text(TEXT)
    return str(path)


def drawn(server: FakeTritonServer) -> list[int]:
    """How many panels each storyboard had that the server was sent."""
    return [len(board.panels) for board in server.received]


def test_a_text_becomes_pages_and_a_second_call_draws_nothing(
    server: FakeTritonServer, novel: str, tmp_path: Path
):
    out = tmp_path / "out"
    form = PageForm(formats="png,pdf")
    assert comic(novel, out, server.url, form=form, upscale=2) == 0
    names = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert {"story.yaml", "story.steps/panels.yaml", "panels/panel_00.png"} <= names
    assert {"pages/page_01.png", "pages/comic.pdf", "pages/pages.json"} <= names
    (board,) = server.received
    assert board.upscale == 2
    pages = (out / "pages/pages.json").read_text()
    assert '"text": "Wait!"' in pages
    assert comic(novel, out, server.url, form=form, upscale=2) == 0
    assert len(server.received) == 1


def test_what_is_missing_or_was_edited_is_drawn_again(
    server: FakeTritonServer, novel: str, tmp_path: Path
):
    out = tmp_path / "out"
    assert comic(novel, out, server.url) == 0
    (whole,) = drawn(server)
    (out / "panels/panel_00.png").unlink()
    assert comic(novel, out, server.url) == 0
    panels = out / "story.steps/panels.yaml"
    panels.write_text(panels.read_text().replace('"library"', '"beach"'))
    assert comic(novel, out, server.url) == 0
    assert drawn(server) == [whole, 1, 1]


def test_an_edited_storyboard_is_drawn_as_it_is(
    server: FakeTritonServer, novel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert comic(novel, out, server.url) == 0
    board = out / "story.yaml"
    board.write_text(board.read_text().replace("on a meadow", "in the snow"))
    edited = board.read_text()
    assert comic(novel, out, server.url) == 0
    assert board.read_text() == edited
    assert drawn(server)[1:] == [edited.count("in the snow")]
    assert "story.yaml was edited: drawn as it is" in capsys.readouterr().err


def test_a_wrong_option_is_refused_before_any_work(
    server: FakeTritonServer, novel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert comic(novel, out, server.url, form=PageForm(layout="spiral")) == 1
    assert "--layout: got 'spiral'" in capsys.readouterr().err
    assert comic(novel + "x", out, server.url) == 1
    assert server.received == []
    assert not (out / "pages").exists()


def test_a_server_that_does_not_answer_leaves_the_plan(
    server: FakeTritonServer, novel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    server.scripts = [lambda storyboard, context: iter(("INVALID_ARGUMENT: no",))]
    assert comic(novel, out, server.url) == 2
    assert (out / "story.yaml").exists()
    assert not (out / "pages").exists()
    server.scripts = [FakeTritonServer().scripts[0]]


def test_options_reach_the_steps(monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[Any, ...]] = []

    def record(*args: Any, **options: Any) -> int:
        calls.append((args, options))
        return 7

    fake = types.ModuleType("lafi.app.comic")
    fake.comic, fake.Plan, fake.PageForm = record, Plan, PageForm  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lafi.app.comic", fake)
    arguments = [
        "comic",
        "n.txt",
        "--out",
        "o",
        "--server",
        "h:1",
        "--panels",
        "3",
        "--order",
        "rtl",
    ]
    assert runner.invoke(app, [*arguments, "--upscale", "4"]).exit_code == 7
    ((args, options),) = calls
    assert args == ("n.txt", Path("o"), "h:1")
    assert (options["plan"].panels, options["form"].order, options["upscale"]) == (3, "rtl", 4)
    refused = runner.invoke(app, [*arguments, "--record", "r"])
    assert (refused.exit_code, len(calls)) == (1, 1)
    assert "--record: got r, allowed: only with --llm" in refused.output


def test_a_critic_judges_the_panels_of_a_comic(
    server: FakeTritonServer, novel: str, tmp_path: Path
):
    asked: list[str] = []

    def reply(request: Any) -> str:
        asked.append(form_of(request))
        lines = ("people", "looks", "actions", "scene", "picture")
        text = request["messages"][1]["content"][1]["text"]
        poor = "library" in text and "close-up" not in text
        names = re.findall(r"\{\w+\}", text.partition("<story>\n")[2].partition("\n")[0])
        suggested = " and ".join(dict.fromkeys(names)) + " in a library, close-up"
        found: dict[str, Any] = dict.fromkeys(lines, 1 if poor else 4)
        return json.dumps(found | {"faults": ["far"] * poor, "prompt": suggested * poor})

    out = tmp_path / "out"
    with pytest.raises(StoryboardError, match="--critic: got 'llm', allowed: with --llm"):
        critic_options("llm", 1, None, plans=True)
    with scripted_llm(reply) as llm:
        judges = critic_options("llm", 1, None, (llm.url, "m", None, None, 30.0, ""), plans=True)
        assert comic(novel, out, server.url, judges=judges) == 0
    assert set(asked) == {"PanelJudged"}
    first, again = server.received
    assert 0 < len(again.panels) < len(first.panels)
    assert all("in a library, close-up" in panel.prompt for panel in again.panels)
    # The plan stays as it was; the pages show the better panel.
    assert "close-up" not in (out / "story.yaml").read_text()
    assert (out / "panels/critique.json").exists()
    assert (out / "pages/page_01.png").exists()
