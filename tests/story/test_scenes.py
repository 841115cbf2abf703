"""Where scenes begin, through the readers."""

import pytest

from lafi_story.chinese import ChineseReader
from lafi_story.english import EnglishReader
from lafi_story.language import LanguageReader
from lafi_story.reading import outline_of
from lafi_story.readings import readings_of
from lafi_story.scenes import find_scenes


def borders(text: str, reader: LanguageReader) -> list[int]:
    outline = outline_of(text)
    scenes = find_scenes(outline, readings_of(outline, reader))
    return [scene.first for scene in scenes.scenes[1:]]


def after(*paragraphs: str, language: str) -> str:
    """A scene of three paragraphs without a place, and these."""
    rest = ["Ada waited for a while.", "Ben said nothing.", "Ada sighed."]
    if language == "zh":
        rest = ["阿兰等了一会儿。", "小贝什么也没有说。", "阿兰叹了一口气。"]
    return "\n\n".join((*rest, *paragraphs))


@pytest.mark.parametrize(
    "opening",
    [
        "On the promenade the wind blew hard.",
        "The lobby smelled of floor wax.",
        "Down in the cellar it was cold.",
        "They came to the orchard at last.",
        "Ada was back the following evening.",
        "It had been March, and Ada was six.",
    ],
)
def test_english_scenes_begin_at_a_place_or_a_time(english: EnglishReader, opening: str):
    assert borders(after(opening, language="en"), english) == [3]


@pytest.mark.parametrize(
    "opening",
    [
        "On the table lay a pear.",
        "Ada had waited there as long as anybody ever waits for a friend. At noon she had eaten.",
        "Ben liked the garden of his aunt.",
        '"On the pier," said Ada.',
    ],
)
def test_english_scenes_go_on(english: EnglishReader, opening: str):
    assert borders(after(opening, language="en"), english) == []


@pytest.mark.parametrize(
    "opening",
    [
        "食堂里坐满了人。",
        "下课以后，教室里很静。",
        "马车在城东的码头外面停了下来。",
        "回村的路上，谁也没有说话。",
        "散场铃响了很久。",
        "她想了想。她六岁那年，家里还有一头牛。",
    ],
)
def test_chinese_scenes_begin_at_a_place_or_a_time(chinese: ChineseReader, opening: str):
    assert borders(after(opening, language="zh"), chinese) == [3]


@pytest.mark.parametrize(
    "opening", ["阿兰把盒子放在阳台上。", "地窖里跑出一只猫。", "“食堂里没有人。”小贝说。"]
)
def test_chinese_scenes_go_on(chinese: ChineseReader, opening: str):
    assert borders(after(opening, language="zh"), chinese) == []


def test_a_place_that_the_scene_names_already_is_no_new_one(english: EnglishReader):
    text = "Ada saw the lobby.\n\nBen came.\n\nAda waved.\n\nIn the lobby a clock struck."
    assert borders(text, english) == []
