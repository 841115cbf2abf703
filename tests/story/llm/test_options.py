"""`lafi story --llm` as a whole: what is kept, resumed, replayed, refused and never written."""

import json
from pathlib import Path
from typing import Any

import pytest
from llm_stories import ANSWERS, STORY, understood
from scripted_llm import Raw, ScriptedLlm, completion, form_of, scripted_llm

from lafi.board.error import StoryboardError
from lafi.board.storyboard import load_storyboard
from lafi_story.command import story
from lafi_story.llm.endpoint import KEY_VARIABLE
from lafi_story.llm.options import KEPT_ANSWERS, LlmOptions
from lafi_story.llm.recording import Recording
from lafi_story.plan import Plan

SECRET = "sk-do-not-write-me"


@pytest.fixture
def novel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    path = tmp_path / "novel.txt"
    path.write_text(STORY)
    return path


def run(novel: Path, llm: LlmOptions, **options: Any) -> int:
    plan = Plan(llm=llm, **options)
    return story(str(novel), str(novel.with_name("story.yaml")), plan)


def written(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_story_is_planned_recorded_and_replayed_without_the_model(
    novel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    record = tmp_path / "kept.jsonl"
    with scripted_llm(understood) as llm:
        assert run(novel, LlmOptions(llm.url, record=record, price="1,10")) == 0
    assert llm.forms() == ["ScenesFound", "PeopleFound", "PanelsFound"]
    assert llm.headers[0]["authorization"] == f"Bearer {SECRET}"
    said = capsys.readouterr().err
    assert "answered 3 times; tokens: 300 read, 60 written; cost: 0.0009" in said
    first = (tmp_path / "story.yaml").read_bytes()
    files = written(tmp_path)
    assert {Path(name).name for name in files} == {
        *("novel.txt", "kept.jsonl", "story.yaml", "text.txt", "outline.yaml"),
        *("scenes.yaml", "characters.yaml", "panels.yaml", "steps.json"),
    }
    assert all(SECRET.encode() not in data for data in files.values())
    assert b"authorization" not in files["kept.jsonl"].lower()
    assert llm.url.encode() not in files["kept.jsonl"]
    assert record.stat().st_mode & 0o777 == 0o600

    (tmp_path / "other").mkdir()
    again = tmp_path / "other" / "story.yaml"
    assert story(str(novel), str(again), Plan(title="novel", llm=LlmOptions(replay=record))) == 0
    assert again.read_bytes() == first
    assert record.read_bytes() == files["kept.jsonl"]


def test_a_run_that_failed_goes_on_where_it_was(
    novel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def broken(request: dict[str, Any]) -> Raw | str:
        if form_of(request) == "PanelsFound":
            return Raw(400, b"context too long")
        return understood(request)

    with scripted_llm(broken) as llm:
        assert run(novel, LlmOptions(llm.url)) == 1
    said = capsys.readouterr().err
    assert "400: " in said
    assert "context too long" in said
    assert "the same command goes on from there" in said
    assert not (tmp_path / "story.yaml").exists()
    with scripted_llm(understood) as llm:
        assert run(novel, LlmOptions(llm.url)) == 0
    assert llm.forms() == ["PanelsFound"]
    assert load_storyboard(tmp_path / "story.yaml").panels


def test_answers_outlive_a_step_that_was_only_half_asked(
    novel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    novel.write_text("\n\n".join([STORY] * 40))
    calls: list[str] = []

    def third_fails(request: dict[str, Any]) -> Raw | str:
        calls.append(form_of(request))
        if len(calls) == 2:
            return Raw(400, b"")
        return understood(request)

    with scripted_llm(third_fails) as llm:
        assert run(novel, LlmOptions(llm.url)) == 1
    assert calls == ["ScenesFound"] * 2
    with Recording(tmp_path / "story.steps" / KEPT_ANSWERS, writes=False) as kept:
        assert len(kept) == 1
    with scripted_llm(understood) as llm:
        assert run(novel, LlmOptions(llm.url)) == 0
    assert llm.forms().count("ScenesFound") == llm.forms().count("PeopleFound") - 1
    assert "1 answers were there from before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        ("nonsense", "got no ScenesFound in 3 answers"),
        (json.dumps(ANSWERS["ScenesFound"])[:-9], "got no ScenesFound in 3 answers"),
        (json.dumps({"scenes": [], "path": "/etc/passwd"}), "path: unknown field"),
        (completion("{", "length"), "an answer that is cut off"),
        (completion(None, refusal="no"), "a refusal to answer: no"),
        (Raw(403, b"{}"), "403: the key may not do this"),
    ],
)
def test_what_cannot_be_used_costs_a_line_and_a_code_and_no_file_elsewhere(
    reply: Raw | str, line: str, novel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with scripted_llm(lambda request: reply) as llm:
        assert run(novel, LlmOptions(llm.url)) == 1
    assert line in capsys.readouterr().err
    names = {Path(name).name for name in written(tmp_path)}
    assert names == {"novel.txt", "text.txt", "outline.yaml", "steps.json", KEPT_ANSWERS}


def test_another_text_is_not_replayed(
    novel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    record = tmp_path / "r.jsonl"
    with scripted_llm(understood) as llm:
        assert run(novel, LlmOptions(llm.url, record=record)) == 0
    novel.write_text(STORY.replace("sad", "glad"))
    assert story(str(novel), "-", Plan(llm=LlmOptions(replay=record))) == 1
    assert "--replay: no answer to a question about ScenesFound" in capsys.readouterr().err


def test_without_llm_nobody_is_asked(novel: Path, monkeypatch: pytest.MonkeyPatch):
    import socket

    def never(*args: Any, **options: Any) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", never)
    assert run(novel, LlmOptions()) == 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"url": "http://h", "replay": Path("r")}, "--replay: got --llm beside it"),
        ({"record": Path("r")}, "--record: got r, allowed: only with --llm"),
        ({"price": "1,2"}, "--llm-price: got 1,2, allowed: only with --llm"),
        ({"model": "m"}, "--llm-model: got 'm', allowed: only with --llm or --replay"),
        ({"url": "http://h", "price": "1"}, "--llm-price: got '1', allowed: two numbers"),
        ({"url": "http://h", "price": "nan,1"}, "--llm-price: got 'nan,1'"),
        ({"url": "http://h", "timeout": 0.0}, "--llm-timeout: got 0.0, allowed: 1 to 3600 seconds"),
        ({"url": "http://h", "timeout": float("nan")}, "--llm-timeout: got nan"),
        ({"url": "h"}, "--llm: got 'h'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], line: str):
    with pytest.raises(StoryboardError) as caught:
        LlmOptions(**options)
    assert line in str(caught.value)


def test_a_recording_of_several_models_wants_a_name(novel: Path, tmp_path: Path):
    record, models = tmp_path / "r.jsonl", ("a", "b")
    for model in models:
        with scripted_llm(understood) as llm:
            told: ScriptedLlm = llm
            assert story(str(novel), "-", Plan(llm=LlmOptions(told.url, model, record=record))) == 0
    assert story(str(novel), "-", Plan(llm=LlmOptions(replay=record))) == 1
    assert story(str(novel), "-", Plan(llm=LlmOptions(model="a", replay=record))) == 0
