"""Who pronouns and groups mean, with the real readers."""

import pytest

from lafi_story.cast import known_of
from lafi_story.chinese import ChineseReader
from lafi_story.english import EnglishReader
from lafi_story.language import LanguageReader, Reading
from lafi_story.resolving import Resolver, Understood
from lafi_story.steps import Cast, Person

EN = Cast(
    characters=(
        Person(name="nora", aliases=("Nora",), gender="female"),
        Person(name="rose", aliases=("Rose", "Grandma Rose"), gender="female"),
        Person(name="tim", aliases=("Tim",), gender="male"),
        Person(name="ben", aliases=("Ben",), gender="male"),
    )
)
ZH = Cast(
    characters=(
        Person(name="小雨", aliases=("小雨",), gender="female"),
        Person(name="王奶奶", aliases=("王奶奶", "奶奶"), gender="female"),
        Person(name="大明", aliases=("大明",)),
        Person(name="小龙", aliases=("小龙", "李小龙")),
    )
)


def understood(
    reader: LanguageReader, cast: Cast, text: str, borders: tuple[int, ...] = ()
) -> tuple[list[Reading], list[Understood]]:
    paragraphs = text.split("\n")
    reader.learn([*paragraphs, "小雨和王奶奶和大明和小龙。" * 3])
    readings = [reader.read(paragraph) for paragraph in paragraphs]
    return readings, list(Resolver(known_of(cast), borders).run(readings))


def meant(readings: list[Reading], found: list[Understood], word: str) -> str:
    """Whom the last pronoun of this spelling means."""
    at, mention = [
        (n, m)
        for n, reading in enumerate(readings)
        for m in reading.mentions
        if m.text == word and not m.quoted
    ][-1]
    return found[at].who.get(mention.start, "")


@pytest.mark.parametrize(
    ("text", "word", "who"),
    [
        ("Tim and Ben ran. Ben waved to him.", "him", "tim"),
        ("Nora saw Rose. Rose laughed at her.", "her", "nora"),
        ("Rose left. Nora sat there with the ball beside her.", "her", "nora"),
        ("Rose left. Nora took her book.", "her", "nora"),
        ("A boy came. His name was Tim, and he wore a cap.", "he", "tim"),
    ],
)
def test_english_pronouns(english: EnglishReader, text: str, word: str, who: str):
    readings, found = understood(english, EN, text)
    assert meant(readings, found, word) == who


@pytest.mark.parametrize(
    ("text", "word", "who"),
    [
        ("小雨跑到街上。王奶奶站在路口，朝她挥了挥手。", "她", "小雨"),
        ("王奶奶来了。小雨推开窗子。“奶奶，快来看！”她喊道。", "她", "小雨"),
        ("小龙来了。大明笑了。“小龙，”他说，“一起玩吧。”", "他", "大明"),
        ("大明在找气球。一个男孩跳了出来。他叫李小龙，戴着一顶帽子。", "他", "小龙"),
        ("大明来了。小龙把书放在他身边。小龙看着自己。", "自己", "小龙"),
    ],
)
def test_chinese_pronouns(chinese: ChineseReader, text: str, word: str, who: str):
    readings, found = understood(chinese, ZH, text)
    assert meant(readings, found, word) == who


def test_who_is_called_does_not_speak(chinese: ChineseReader):
    _, found = understood(chinese, ZH, "小龙来了。大明笑了。“小龙，”他说，“一起玩吧。”")
    assert found[0].speakers == ("大明", "大明")


@pytest.mark.parametrize(
    ("text", "borders", "present"),
    [
        (
            "Tim, Ben, Rose sat.\nNora and Ben ran. They laughed.",
            (),
            {"nora", "ben", "tim", "rose"},
        ),
        ("Tim, Ben, Rose sat.\nNora and Ben ran. They laughed.", (1,), {"nora", "ben"}),
        ("Tim and Rose sat.\nThe three of them ran. Ben waved.", (1,), {"tim", "rose", "ben"}),
    ],
)
def test_a_group_of_a_new_scene_is_not_all_of_the_scene_before(
    text: str, borders: tuple[int, ...], present: set[str], english: EnglishReader
):
    _, found = understood(english, EN, text, borders)
    assert set(found[1].present) == present
