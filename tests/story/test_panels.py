"""What a panel shows: figures in the order of their lines, sentences without lone `she said`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_story.panels import _as_they_speak
from lafi_story.rules import RulePlanner
from lafi_story.steps import Figure, Line
from lafi_story.telling import tell
from lafi_story.vocabulary import Vocabulary

NAMES = ("an", "bo", "cy", "di")


@given(
    st.lists(st.sampled_from(NAMES), unique=True),
    st.lists(st.sampled_from([*NAMES, "", "somebody else"]), max_size=6),
)
def test_those_who_speak_stand_in_the_order_of_their_lines(
    names: list[str], speakers: list[str]
) -> None:
    lines = [Line(speaker=name, text="Hello!", paragraph=0) for name in speakers]
    found = [f.name for f in _as_they_speak([Figure(name=name) for name in names], lines)]
    assert sorted(found) == sorted(names)
    assert [name for name in found if name in speakers] == [
        name for name in dict.fromkeys(speakers) if name in names
    ]
    for at, name in enumerate(names):
        assert name in speakers or found[at] == name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("天色已经很亮。“今天真好。”林小雨笑着说。", "“今天真好。”林小雨笑着说。"),
        (
            "林小雨坐着。“走吧！”林小雨喊着，从树上高兴地跳了下来。",
            "林小雨喊着，从树上高兴地跳了下来。",
        ),
    ],
)
def test_a_sentence_that_only_says_who_speaks_comes_with_the_line(
    text: str, sentence: str, chinese_rules: RulePlanner, vocabulary: Vocabulary
) -> None:
    whole = f"林小雨走了。林小雨来了。\n\n* * *\n\n{text}"
    told = tell(whole.encode(), chinese_rules, vocabulary, title="t")
    assert told.script.panels[-1].sentence == sentence
