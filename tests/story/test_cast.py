"""Who becomes a character, and under which names."""

import pytest

from lafi_story.reading import outline_of
from lafi_story.rules import RulePlanner


def cast(text: str, rules: RulePlanner) -> list[set[str]]:
    outline = outline_of(text)
    people = rules.characters(outline, rules.scenes(outline)).characters
    return [set(person.aliases) for person in people]


def test_a_beast_that_speaks_is_somebody(english_rules: RulePlanner):
    text = 'The badger sat there. "Go," said the badger. Mia Lund laughed at the badger.'
    assert {"the badger"} in cast(text, english_rules)


def test_a_thing_that_snaps_is_nobody(english_rules: RulePlanner):
    text = "The rope snapped. Mia Lund picked up the rope. The sign said no. She read the sign."
    assert cast(text, english_rules) == [{"Mia Lund"}]


def test_a_woman_is_not_a_man_of_her_family(english_rules: RulePlanner):
    text = "Danny Roe came. Mrs. Roe came. Danny sat down. Mrs. Roe sat down."
    assert len(cast(text, english_rules)) == 2


def test_an_occupation_may_be_a_surname(english_rules: RulePlanner):
    text = "Mr Cooper met Mr Mason. Mr Cooper waved. Mr Mason waved."
    assert len(cast(text, english_rules)) == 2


@pytest.mark.parametrize(
    "text",
    [
        "Mr Hill, who was a judge, sat down. Mr Hill sighed. The judge rose.",
        "Ada came with her nurse, Miss Dent. Miss Dent sat down. The nurse sighed.",
    ],
)
def test_what_somebody_is_is_another_name(text: str, english_rules: RulePlanner):
    assert {"the judge", "the nurse"} & set().union(
        *(names for names in cast(text, english_rules) if len(names) > 1)
    )


def test_whom_others_call_and_nobody_tells_of_tells_the_story(english_rules: RulePlanner):
    text = (
        "I came home. I was tired. I sat down. Mia Lund looked at me.\n\n"
        '"Are you ill, Martha?" asked Mia. I shook my head.'
    )
    assert {"I", "Martha"} in cast(text, english_rules)


def test_relatives_by_their_order_are_people(chinese_rules: RulePlanner):
    text = "二叔来了。三姨笑了。二叔坐下来。三姨也坐下来。大家都笑了。"
    found = cast(text, chinese_rules)
    assert {"二叔"} in found
    assert {"三姨"} in found


def test_a_name_that_was_cut_short_is_made_whole(chinese_rules: RulePlanner):
    text = "顾三更来了。顾三更坐下。顾三更说：“好。”阿蛮看着顾三更。顾三更笑了。"
    assert any("顾三更" in names and "顾三" not in names for names in cast(text, chinese_rules))


def test_who_is_only_called_by_surname_and_title_may_be_a_relative(chinese_rules: RulePlanner):
    text = (
        "孙浩走进屋里。孙浩看着王老师。王老师笑了。王老师坐下。\n\n"
        "小李站着。“孙师傅，您好。”小李说。小李笑了。"
    )
    assert not any({"孙浩", "孙师傅"} <= names for names in cast(text, chinese_rules))


def test_what_one_is_is_another_name_in_chinese(chinese_rules: RulePlanner):
    text = "掌柜是个瘸子，话很少。掌柜坐下来。瘸子笑了。掌柜也笑了。瘸子走了。"
    assert {"掌柜", "瘸子"} in cast(text, chinese_rules)
