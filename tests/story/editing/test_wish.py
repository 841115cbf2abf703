"""What a wish says, in English and Chinese; any word that is not understood refuses all of it."""

import pytest

from lafi.board.error import StoryboardError
from lafi_story.editing.wish import Wish, read_wish
from lafi_story.vocabulary import Vocabulary

CAST = ["mia", "tom", "old_man", "小美"]


def read(text: str, vocabulary: Vocabulary, present: tuple[str, ...] = ("mia",)) -> Wish:
    return read_wish(text, present, CAST, vocabulary)


@pytest.mark.parametrize(
    ("text", "scene"),
    [
        ("make it night", {"light": "night"}),
        ("in the forest", {"place": "forest"}),
        ("On the beach, at sunset", {"place": "beach", "light": "sunset"}),
        ("it is raining now", {"light": "rain"}),
        ("a close-up", {"framing": "near"}),
        ("from afar, please", {"framing": "far"}),
        ("改成夜晚", {"light": "night"}),
        ("把地点换到图书馆", {"place": "library"}),
        ("在森林里，特写", {"place": "forest", "framing": "near"}),
        ("黄昏", {"light": "sunset"}),
    ],
)
def test_time_place_and_framing(text: str, scene: dict[str, str], vocabulary: Vocabulary):
    assert read(text, vocabulary) == Wish(scene=scene)


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("Mia runs", {("mia", "action"): "running"}),
        ("she sat down there", None),
        ("she sat, looking sad", {("mia", "action"): "sitting", ("mia", "mood"): "sad"}),
        ("give her an umbrella", {("mia", "prop"): "umbrella"}),
        ("Mia在跑步", {("mia", "action"): "running"}),
        ("她很高兴，拿着气球", {("mia", "mood"): "happy", ("mia", "prop"): "balloon"}),
        ("jumping for joy", {("mia", "action"): "jumping", ("mia", "mood"): "happy"}),
    ],
)
def test_what_the_only_one_does(
    text: str, figures: dict[tuple[str, str], str] | None, vocabulary: Vocabulary
):
    if figures is None:
        with pytest.raises(StoryboardError, match="got 'down', allowed: a change of light"):
            read(text, vocabulary)
    else:
        assert read(text, vocabulary) == Wish(figures=figures)


def test_what_each_of_several_does(vocabulary: Vocabulary):
    both = ("mia", "tom")
    said = read("Mia waves and Tom sits", vocabulary, both).figures
    assert said == {("mia", "action"): "waving", ("tom", "action"): "sitting"}
    said = read("Mia and Tom run", vocabulary, both).figures
    assert said == {("mia", "action"): "running", ("tom", "action"): "running"}
    assert read("they run", vocabulary, both).figures == said
    assert read("小美和Tom在跑", vocabulary, ("小美", "tom")).figures == {
        ("小美", "action"): "running",
        ("tom", "action"): "running",
    }
    with pytest.raises(StoryboardError, match="got 'running', allowed: a name before it: mia, tom"):
        read("running", vocabulary, both)
    with pytest.raises(StoryboardError, match="got 'she'"):
        read("she runs", vocabulary, both)


def test_who_is_in_it(vocabulary: Vocabulary):
    assert read("add Tom, waving", vocabulary) == Wish(
        add=["tom"], figures={("tom", "action"): "waving"}
    )
    assert read("without Mia", vocabulary).remove == ["mia"]
    assert read("Mia leaves", vocabulary).remove == ["mia"]
    assert read("only the old man", vocabulary).only == ["old_man"]
    assert read("加上小美", vocabulary).add == ["小美"]
    assert read("去掉Mia，晚上", vocabulary) == Wish(remove=["mia"], scene={"light": "night"})
    with pytest.raises(StoryboardError, match="got 'tom', allowed: each in it or not"):
        read("add Tom, without Tom", vocabulary)


def test_what_is_to_be_gone(vocabulary: Vocabulary):
    assert read("no ball", vocabulary).without == {("mia", "prop", "ball")}
    assert read("她不生气", vocabulary).without == {("mia", "mood", "angry")}
    said = read("without rain, by day", vocabulary)
    assert (said.without, said.scene) == ({("", "light", "rain")}, {"light": "day"})
    assert len(read("no ball", vocabulary, ("mia", "tom")).without) == 2


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("make it night with dragons", "'dragons'"),
        ("Mia looks up", "'up'"),
        ("a red coat for Mia", "'red, coat'"),
        ("在龙宫里", "'龙宫'"),
        ("make it so", "'make it so'"),
        ("Mia", "'Mia'"),
        ("Anna runs", "'Anna'"),
        ("behind the house", "'behind'"),
    ],
)
def test_what_is_not_understood_refuses_all(text: str, got: str, vocabulary: Vocabulary):
    with pytest.raises(StoryboardError) as refused:
        read(text, vocabulary)
    line = str(refused.value)
    assert line.startswith(f"the wish: got {got}, allowed: a change of light (day, sunset, night")
    assert "framing (near, medium, far)" in line
    assert "add, without or only: mia, tom, old_man, 小美" in line


def test_two_wishes_against_each_other_are_refused(vocabulary: Vocabulary):
    with pytest.raises(StoryboardError, match="light: got 'night and sunset', allowed: one of"):
        read("at night, at sunset", vocabulary)
    with pytest.raises(StoryboardError, match="action of mia: got 'standing and running'"):
        read("Mia stops running", vocabulary)
