import pytest

from lafi_story.chinese import ChineseReader, _said

TEXT = "林小雨看着陈静。林小雨对陈静说：“走吧。”陈静笑着跑了。"


def test_names_that_were_learnt_are_found_everywhere(chinese: ChineseReader):
    chinese.learn([TEXT, "铁手张笑了。"])
    names = [m.text for m in chinese.read(TEXT).mentions if m.kind == "name"]
    assert names == ["林小雨", "陈静", "林小雨", "陈静", "陈静"]
    saying = [d for d in chinese.read(TEXT).deeds if d.speech]
    assert [TEXT[d.subject :][:3] for d in saying if d.subject is not None] == ["林小雨"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("林小雨", "小雨", True),
        ("陈静", "静静", True),
        ("方晓琳", "方老师", True),
        ("老掌柜", "掌柜", True),
        ("王奶奶", "王小明", True),
        ("陈静", "林小雨", False),
        ("李阿姨", "王阿姨", False),
    ],
)
def test_names_of_one_person(chinese: ChineseReader, one: str, other: str, same: bool):
    assert chinese.same_name(one, other) is same
    assert chinese.same_name(other, one) is same


def test_what_she_is_names_nobody_else(chinese: ChineseReader):
    assert [m.text for m in chinese.read("她是个瘦瘦的女孩。").mentions] == ["她"]


def test_a_name_of_ones_own_and_a_nickname_are_pairs(chinese: ChineseReader):
    chinese.learn(["周大明来了。周大明走了。"])
    assert ("周大明", "胖子") in chinese.read("周大明很高，大家都叫他胖子。").same


def test_denied_deeds_are_not_done(chinese: ChineseReader):
    found = chinese.read("他没有跑。他跳了。").found
    assert [f.word for f in found if f.kind == "actions"] == ["jumping"]
    found = chinese.read("他忽然不笑了。她没有伞。小明哭了。").found
    assert [f.word for f in found if f.kind in ("moods", "props")] == ["sad"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("小美特别高兴。", "happy"),
        ("小美忍不住笑了。", "happy"),
        ("小美不但高兴。", "happy"),
        ("小美不禁笑了。", "happy"),
        ("小美不知不觉笑了。", "happy"),
        ("小美拿着别的皮球。", "ball"),
        ("小美有不少气球。", "balloon"),
        ("小美一动不动坐着。", "sitting"),
        ("小美不得不跑。", "running"),
        ("小美不特别高兴。", ""),
        ("小美没有特别高兴。", ""),
        ("小美没有别的皮球。", ""),
        ("小美不再高兴。", ""),
        ("小美别跑。", ""),
        ("小美恨不得跑。", ""),
        ("小美特别不高兴。", ""),
    ],
)
def test_words_with_the_sign_of_a_negation_that_deny_nothing(
    chinese: ChineseReader, text: str, word: str
):
    found = [f.word for f in chinese.read(text).found if f.kind in ("actions", "moods", "props")]
    assert found == ([word] if word else [])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("屋里暖洋洋的。三个孩子坐在桌边。", "room"),
        ("图书馆里很安静。", "library"),
        ("森林里的树很高。", "forest"),
        ("图书馆的书很多。", ""),
        ("“屋里坐吧。”她说。", ""),
    ],
)
def test_a_paragraph_that_begins_with_a_place_is_there(
    chinese: ChineseReader, text: str, place: str
):
    assert chinese.read(text).now_at == place


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("第二天早上，他走了。", True),
        ("第二日清早晨我到了门口。", True),
        ("又过了九日，我们启程。", True),
        ("有一天，他走了。", True),
        ("有天早上，他走了。", True),
        ("一天，他走了。", True),
        ("一天是二十四小时。", False),
        ("一天下来，他累了。", False),
        ("有天赋的人来了。", False),
        ("有日本人来了。", False),
        ("隔日本海相望。", False),
        ("第二日本队来了。", False),
        ("过了半天他才说话。", False),
        ("“第二天我走了。”", False),
        ("又过了一会儿，他走了。", False),
        ("一天到晚，他等着。", False),
        ("他等着。", False),
    ],
)
def test_another_time(chinese: ChineseReader, text: str, later: bool):
    assert chinese.read(text).later is later


def test_words_of_a_vocabulary_are_no_patterns():
    assert _said("她有(一)双*眼睛", ("(一", "*"), ("眼睛",)) == "(一)双*眼睛"
