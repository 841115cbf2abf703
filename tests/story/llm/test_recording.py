import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi_story.llm.question import Question
from lafi_story.llm.recording import Recording


def recorded(path: Path, *pairs: tuple[str, object]) -> None:
    with Recording(path, writes=True) as recording:
        for digest, answer in pairs:
            recording.add(digest, "m", answer)


def test_answers_are_found_again_and_gone_on_with(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    recorded(path, ("a", {"x": "é\n"}), ("b", []))
    recorded(path, ("c", 3))
    with Recording(path, writes=False) as recording:
        found = [recording.get(name) for name in "abcd"]
        assert found == [{"x": "é\n"}, [], 3, None]
        assert (recording.models, len(recording)) == (("m",), 3)


def test_only_the_user_may_read_it_whatever_was_there(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    path.touch(0o666)
    path.chmod(0o666)
    before = os.umask(0)
    try:
        recorded(path, ("a", 1))
        recorded(tmp_path / "new.jsonl", ("a", 1))
    finally:
        os.umask(before)
    assert [p.stat().st_mode & 0o777 for p in (path, tmp_path / "new.jsonl")] == [0o600, 0o600]


@given(cut=st.integers(0, 400))
def test_a_run_that_ends_while_it_writes_costs_its_last_answer_at_most(
    cut: int, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.mktemp("cut") / "r.jsonl"
    recorded(path, *((f"a{n}", {"n": n}) for n in range(4)))
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    path.write_bytes(whole[: max(head, len(whole) - cut)])
    lines = path.read_bytes().count(b"\n")
    recorded(path, ("new", 1))
    with Recording(path, writes=False) as recording:
        assert len(recording) == lines
        assert recording.get("new") == 1


@pytest.mark.parametrize(
    "text",
    [
        *("text", "{}\n", '{"lafi_recording": 2}\n', "[]\n", "mine\nmine\n", "\x00\n"),
        *('{"lafi_recording": 1}\n{}\n', '{"lafi_recording": 1}\n[1]\n'),
        '{"lafi_recording": 1}\n{"question": 1, "model": "m", "answer": 1}\n',
        '{"lafi_recording": 1}\n' + "[" * 100_000 + "\n",
    ],
)
@pytest.mark.parametrize("writes", [True, False])
def test_a_file_that_is_no_recording_is_refused_and_left_alone(
    text: str, writes: bool, tmp_path: Path
):
    path = tmp_path / "r.jsonl"
    path.write_text(text)
    with pytest.raises(StoryboardError, match="allowed: a recording that LAFI wrote"):
        Recording(path, writes=writes)
    assert path.read_text() == text


@pytest.mark.parametrize("writes", [True, False])
def test_links_folders_and_pipes_are_refused(writes: bool, tmp_path: Path):
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    recorded(target, ("a", 1))
    link.symlink_to(target)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path):
        with pytest.raises(StoryboardError, match="a recording that LAFI wrote"):
            Recording(path, writes=writes)


def test_a_question_is_a_digest_of_all_that_decides_its_answer():
    base = Question("F", "system", "user", {"a": 1})
    others = [
        Question("G", "system", "user", {"a": 1}), Question("F", "x", "user", {"a": 1}),
        Question("F", "system", "x", {"a": 1}), Question("F", "system", "user", {"a": 2}),
        Question("F", "system", "user", {"a": 1}, (("a", "b"),)),
    ]  # fmt: skip
    digests = [base.digest("m"), base.digest("n"), *(other.digest("m") for other in others)]
    assert len(set(digests)) == 7
    assert json.dumps(digests).isascii()
