"""`lafi draw --critic`: who judges, what does not go together, and a whole run with a model."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_triton import FakeTritonServer
from PIL import Image
from scripted_llm import Raw, scripted_llm
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi_client.identity_critic import IdentityCritic

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
STORY = 'panels: [{prompt: "a house", seed: 1}, {prompt: "a tree", seed: 2}]\n'


@pytest.fixture
def server() -> Iterator[FakeTritonServer]:
    fake = FakeTritonServer()
    yield fake
    fake.stop()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def instead(stories: Any, **options: Any) -> int:
        found.append(options)
        return 7

    monkeypatch.setattr("lafi_client.commands.draw", instead)
    return found


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ([], (1, 1)),
        (["--candidates", "4"], (4, 0)),
        (["--candidates", "2", "--changes", "3"], (2, 3)),
    ],
)
def test_how_often_a_panel_is_drawn(
    calls: Any, options: list[str], numbers: tuple[int, int]
) -> None:
    assert runner.invoke(app, ["draw", "a.yaml", "--critic", "identity", *options]).exit_code == 7
    critique = calls[0]["critique"]
    assert isinstance(critique.critic, IdentityCritic)
    assert (critique.candidates, critique.changes) == numbers


def test_without_a_critic_nobody_judges(calls: Any) -> None:
    assert runner.invoke(app, ["draw", "a.yaml"]).exit_code == 7
    assert calls[0]["critique"] is None


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--critic", "taste"], "--critic: got 'taste', allowed: identity, llm, or a file"),
        (["--critic", "llm"], "--critic: got 'llm', allowed: with --llm URL or --replay FILE"),
        (["--critic", "no.safetensors"], "--critic: got no.safetensors, allowed: the bundled"),
        (["--candidates", "2"], "--candidates: got 2, allowed: only with --critic"),
        (["--changes", "0"], "--changes: got 0, allowed: only with --critic"),
        (["--llm", "http://a/v1"], "allowed: only with --critic llm"),
        (["--record", "there"], "--record: got there, allowed: only with --llm"),
        (["--critic", "identity", "--llm", "http://a/v1"], "allowed: only with --critic llm"),
        (["--critic", "identity", "--candidates", "8", "--changes", "2"], "--changes: got 2"),
        (["--critic", "identity", "--candidates", "10"], "--candidates"),
        (["--critic", "identity", "--from-stage", "2"], "--critic and --from-stage: one of them"),
        (["--critic", "identity", "--detach"], "--critic are not for --attach and --detach"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(
    calls: Any, options: list[str], line: str
) -> None:
    found = runner.invoke(app, ["draw", "a.yaml", *options])
    assert found.exit_code == 2
    assert line in " ".join(found.output.replace("│", " ").split())
    assert not calls


def points(points: int, *faults: str, prompt: str = "") -> str:
    lines = ("people", "looks", "actions", "scene", "picture")
    return json.dumps({**dict.fromkeys(lines, points), "faults": faults, "prompt": prompt})


def draw(server: FakeTritonServer, folder: Path, *more: str) -> Any:
    story = folder / "story.yaml"
    story.write_text(STORY)
    usual = ["draw", str(story), "-o", str(folder / "out"), "--url", server.url, "--retries", "0"]
    return runner.invoke(app, [*usual, "--critic", "llm", *more])


def test_a_model_that_sees_has_a_panel_drawn_again(
    server: FakeTritonServer, tmp_path: Path
) -> None:
    def reply(request: Any) -> str:
        text = request["messages"][1]["content"][1]["text"]
        if "a house" in text and "by day" not in text:
            return points(2, "too dark", prompt="a house by day")
        return points(4)

    with scripted_llm(reply) as llm:
        found = draw(server, tmp_path, "--llm", llm.url, "--llm-price", "1,1")
    assert found.exit_code == 0, found.output
    assert (
        "change 1 of 1 (too dark), prompt 'a house' -> 'a house by day': 0.5 -> 1" in found.output
    )
    assert "answered 3 times; tokens: 300 read, 60 written; cost: 0.0004" in found.output
    assert [len(board.panels) for board in server.received] == [2, 1]
    out = tmp_path / "out"
    kept = json.loads((out / "critique.json").read_text())["panels"]["0"]
    assert [each["prompt"] for each in kept["versions"]] == ["a house", "a house by day"]
    # Again, and in another folder without the model: the answers are there.
    assert draw(server, tmp_path, "--replay", str(out / "critique/answers.jsonl")).exit_code == 0
    other = tmp_path / "other"
    other.mkdir()
    found = draw(server, other, "--replay", str(out / "critique/answers.jsonl"))
    assert found.exit_code == 0, found.output
    assert "the new one stays" in found.output
    with Image.open(io.BytesIO((other / "out/panel_00.png").read_bytes())) as image:
        again = image.tobytes()
    with Image.open(out / "panel_00.png") as image:
        assert image.tobytes() == again


def test_a_model_that_does_not_answer_costs_a_line_and_no_panel(
    server: FakeTritonServer, tmp_path: Path
) -> None:
    with scripted_llm(lambda request: Raw(401, b"{}")) as llm:
        found = draw(server, tmp_path, "--llm", llm.url, "--llm-model", "m")
    assert found.exit_code == 5, found.output
    assert "panel 0: not judged: the language model at" in found.output
    assert "LAFI_LLM_KEY" in found.output
    assert (tmp_path / "out/panel_01.png").exists()
    assert len(server.received) == 1
