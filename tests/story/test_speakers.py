"""Who says what, in both languages, through the readers and the resolver."""

import pytest

from lafi_story.chinese import ChineseReader
from lafi_story.english import EnglishReader
from lafi_story.language import LanguageReader
from lafi_story.reading import outline_of
from lafi_story.readings import readings_of
from lafi_story.resolving import Known, Resolver

ENGLISH = Known(
    {"mia": "mia", "tim": "tim", "old tom": "tom", "i": "narrator"},
    {"mia": "female", "tim": "male", "tom": "male"},
)
CHINESE = Known(
    {"小雨": "小雨", "大明": "大明", "胖子": "大明"}, {"小雨": "female", "大明": "male"}
)


def speakers(text: str, known: Known, reader: LanguageReader) -> list[tuple[str, ...]]:
    readings = readings_of(outline_of(text), reader)
    return [one.speakers for one in Resolver(known).run(readings)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"Come," said Mia. "Now."', [("mia", "mia")]),
        ('Mia said, "Come."', [("mia",)]),
        ('Tim sat down. "I am tired."', [("tim",)]),
        ('"Give it back, Tim!" cried Mia. "Catch me!" He jumped up.', [("mia", "tim")]),
        ('Mia saw Tim. "Come," she said. "No," he said.', [("mia", "tim")]),
        ('"Come," said Mia to Tim.\n\n"No."\n\n"Why not?"', [("mia",), ("tim",), ("mia",)]),
        ('"Why?" asked Tim. "It is late," said Mia.', [("tim", "mia")]),
        ('"It is late." "I know," said Mia. Tim smiled.', [("tim", "mia")]),
        ('Mia saw Tim. At last she said:\n\n"Come."', [(), ("mia",)]),
        ('Tim saw Mia. Then Tim said:\n\n"Well?" said Mia.', [(), ("mia",)]),
        ('Tim saw Mia. Mia opened the letter:\n\n"Come."\n\n"Oh."', [(), ("",), ("",)]),
        ('Tim saw Mia. Then Tim said:\n\nNobody spoke.\n\n"Well?" said Mia.', [(), (), ("mia",)]),
    ],
)
def test_english(english: EnglishReader, text: str, said: list[tuple[str, ...]]):
    assert speakers(text, ENGLISH, english) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("小雨说：“来吧。”", [("小雨",)]),
        ("“来吧。”小雨说，“快点。”", [("小雨", "小雨")]),
        ("“来吧。”小雨说。“好。”大明点点头。", [("小雨", "大明")]),
        ("小雨看着大明。“来吧。”她说。\n\n“好。”", [("小雨",), ("大明",)]),
        ("“胖子，快来！”小雨跑了过来。“来了，来了。”", [("小雨", "大明")]),
        ("大明来了。小雨又对大明说：\n\n“来吧。”", [(), ("小雨",)]),
        ("“来吧。”小雨说。大明低声答道：\n\n“好。”她笑了。", [("小雨",), ("大明",)]),
    ],
)
def test_chinese(chinese: ChineseReader, text: str, said: list[tuple[str, ...]]):
    chinese.learn(["小雨来了。小雨走了。大明来了。大明走了。"])
    readings = [chinese.read(part) for part in text.split("\n\n")]
    assert [one.speakers for one in Resolver(CHINESE).run(readings)] == said


def test_who_is_only_thought_of_is_not_there(english: EnglishReader):
    readings = [english.read("Mia sat by the sea. She remembered Tim.")]
    assert Resolver(ENGLISH).run(readings)[0].present == ["mia"]


def test_a_pronoun_is_who_fits(english: EnglishReader):
    readings = [english.read("Mia met Tim. He waved. She ran.")]
    who = Resolver(ENGLISH).run(readings)[0].who
    assert list(who.values()) == ["mia", "tim", "tim", "mia"]


def test_whose_hand_moves_acts(english: EnglishReader):
    text = 'Tim sat by Mia. "Where?" "There." Mia\'s hand was on the box. "Look."'
    assert speakers(text, ENGLISH, english)[0][2] == "mia"


@pytest.mark.parametrize(
    ("letter", "said"),
    [
        ("Dear Mia, the boats are all in and the sea is quiet and grey again. Your Tim", "tim"),
        ("Dear Mia, the boats are all in and the sea is quiet and grey again today.", ""),
    ],
)
def test_who_reads_a_letter_does_not_say_it(english: EnglishReader, letter: str, said: str):
    assert speakers(f"Mia opened it. “{letter}”", ENGLISH, english) == [(said,)]


def test_whoever_asks_does_not_answer(english: EnglishReader):
    text = 'Mia saw Tim. "Is it far?" asked Mia. "Two miles."'
    assert speakers(text, ENGLISH, english)[0][1] != "mia"


def test_i_am_not_he(english: EnglishReader):
    text = 'I looked at Tim. "Hungry?" I asked. "Always," he said.'
    known = Known(ENGLISH.aliases, ENGLISH.genders, "narrator")
    assert speakers(text, known, english) == [("narrator", "tim")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("小雨看着大明。“走吗？”大明摇摇头。“不走。”", ("小雨", "大明")),
        ("大明看着小雨。“走。”小雨站住了：“不走。”", ("大明", "小雨")),
    ],
)
def test_who_acts_between_two_chinese_lines_says_one(
    chinese: ChineseReader, text: str, said: tuple[str, ...]
):
    chinese.learn(["小雨来了。小雨走了。大明来了。大明走了。"])
    assert Resolver(CHINESE).run([chinese.read(text)])[0].speakers == said
