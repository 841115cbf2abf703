"""Questions are asked again with what was wrong; answers come from the recording where they can."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lafi.board.error import StoryboardError
from lafi_story.llm.answers import SceneFound, ScenesFound
from lafi_story.llm.asking import TRIES, Asker, Usage, json_in
from lafi_story.llm.question import Answer, LlmError, Question
from lafi_story.llm.recording import Recording

RIGHT = '{"scenes": [{"first": 1, "place": "", "light": "", "why": "x"}]}'
FOUND = ScenesFound(scenes=(SceneFound(first=1, place="", light="", why="x"),))


class Scripted:
    """Gives answers in order and keeps the questions."""

    model = "m"

    def __init__(self, *answers: str) -> None:
        self.answers: Iterator[str] = iter(answers)
        self.questions: list[Question] = []

    def ask(self, question: Question) -> Answer:
        self.questions.append(question)
        return Answer(next(self.answers), 10, 2)


@pytest.mark.parametrize("text", [RIGHT, f"```json\n{RIGHT}\n```", f"<think>{{}}</think>{RIGHT}."])
def test_an_answer_is_taken_out_of_what_is_around_it(text: str):
    assert Asker("m", Scripted(text)).ask(ScenesFound, "s", "u") == FOUND
    assert json_in(text) == RIGHT


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ("", "a mapping with scenes"), ("no idea", "a mapping with scenes"),
        (RIGHT[:-4], "a mapping with scenes"),
        ("[]", "a mapping with scenes"),
        ('{"scenes": [{}]}', r"scenes[0].first: got nothing"),
        (RIGHT.replace("1", '"one"'), "scenes[0].first: got 'one'"),
        ('{"scenes": [], "write": "/etc/passwd"}', "write: unknown field"),
        ("[" * 100_000, "a mapping with scenes"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_asked_for_again_with_what_is_wrong(wrong: str, word: str):
    endpoint = Scripted(wrong, RIGHT)
    asker = Asker("m", endpoint)
    assert asker.ask(ScenesFound, "s", "u") == FOUND
    first, second = endpoint.questions
    assert first.wrong == ()
    ((said, why),) = second.wrong
    assert wrong.startswith(said)
    assert word in why
    assert asker.usage == Usage(answered=2, read=20, written=4)


def test_after_a_few_wrong_answers_it_ends_with_the_last_error():
    endpoint = Scripted(*["{}"] * TRIES)
    with pytest.raises(LlmError, match="got no ScenesFound in 3 answers; of the last one: scenes"):
        Asker("m", endpoint).ask(ScenesFound, "s", "u")
    assert len(endpoint.questions) == TRIES


def test_a_check_of_the_caller_counts_too():
    def never(answer: ScenesFound) -> None:
        raise StoryboardError(["scenes: got 1, allowed: 2"])

    with pytest.raises(LlmError, match="scenes: got 1, allowed: 2"):
        Asker("m", Scripted(*[RIGHT] * TRIES)).ask(ScenesFound, "s", "u", never)


def replayed(path: Path, *, model: str = "m", user: str = "u") -> tuple[ScenesFound, Usage]:
    with Recording(path, writes=False) as recording:
        asker = Asker(model, None, recording)
        return asker.ask(ScenesFound, "s", user), asker.usage


def test_a_recording_replays_what_was_right_and_nothing_else(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    with Recording(path, writes=True) as recording:
        asker = Asker("m", Scripted("{}", RIGHT), recording)
        assert [asker.ask(ScenesFound, "s", "u") for _ in range(2)] == [FOUND, FOUND]
        assert asker.usage == Usage(answered=2, kept=1, read=20, written=4)
        with pytest.raises(LlmError):
            Asker("m", Scripted(*["{}"] * TRIES), recording).ask(ScenesFound, "s", "other")
    assert replayed(path) == (FOUND, Usage(kept=1))
    others: Sequence[dict[str, str]] = ({"model": "n"}, {"user": "v"}, {"user": "other"})
    for other in others:
        with pytest.raises(LlmError, match="--replay: no answer to a question about ScenesFound"):
            replayed(path, **other)


def test_a_recording_that_was_changed_by_hand_is_checked_like_an_answer(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    with Recording(path, writes=True) as recording:
        Asker("m", Scripted(RIGHT), recording).ask(ScenesFound, "s", "u")
    path.write_text(path.read_text().replace('"first": 1', '"first": "x"'))
    with pytest.raises(StoryboardError, match=r"scenes\[0\].first: got 'x'"):
        replayed(path)


def test_what_a_run_costs():
    usage = Usage(answered=2, kept=1, read=1_500_000, written=200)
    assert usage.line().endswith("1 answers were there from before; tokens: 1500000 read, "
                                 "200 written")  # fmt: skip
    assert usage.line((2.0, 10.0)).endswith("; cost: 3.0020")
