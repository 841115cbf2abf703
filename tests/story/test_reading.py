import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi_story.reading import MAX_PARAGRAPH, MAX_TEXT, joined, outline_of, read_novel

WORDS = st.text(st.characters(codec="utf-8"), max_size=60)
HARD = st.sampled_from(
    ["\n", "\n\n", "\r\n", " \n \n", "Chapter 1", "I.", "第一章 雪", "***", "\ufeff", "\x85", "é",
     "a" * 50 + "\n" + "b" * 55 + "\n", "e\u0301", "\u0301", "x. " * 900]
)  # fmt: skip
TEXTS = st.lists(st.one_of(WORDS, HARD), min_size=1, max_size=20).map("".join)


@given(TEXTS)
def test_paragraphs_that_are_joined_and_read_again_are_the_same(text: str):
    try:
        first = outline_of(text)
    except StoryboardError as error:
        assert "a story" in str(error)
        return
    again = outline_of(joined(first.paragraphs))
    assert (again.paragraphs, again.language) == (first.paragraphs, first.language)


@given(TEXTS)
def test_a_paragraph_is_one_printable_line_of_limited_length(text: str):
    try:
        outline = outline_of(text)
    except StoryboardError as error:
        assert "a story" in str(error)
        return
    for paragraph in outline.paragraphs:
        assert paragraph.text.isprintable()
        assert 1 <= len(paragraph.text) <= MAX_PARAGRAPH


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_chinese_text_is_read_in_any_usual_encoding(encoding: str):
    text = "小雨停下脚步，朝她挥了挥手。这天早上，她背着书包走出家门，天阴得像一块湿抹布。" * 5
    outline = read_novel(text.encode(encoding))
    assert outline.language == "zh"
    assert outline.paragraphs[0].text == text
    guessed = encoding == "gb18030"
    assert bool(outline.notes) == guessed


def test_an_encoding_that_does_not_fit_is_refused_with_the_place():
    with pytest.raises(StoryboardError, match="byte 0xff at offset 3, allowed: valid utf-8"):
        read_novel(b"abc\xff", encoding="utf-8")
    with pytest.raises(StoryboardError, match="--encoding: got 'klingon'"):
        read_novel(b"abc", encoding="klingon")


def test_lines_that_a_page_broke_are_one_paragraph_and_heads_stay_alone():
    text = (
        "CHAPTER ONE\n\nIt was a bright cold day in the little town, and\n"
        "everybody who had legs was running through the snow\nand laughing.\n\n* * *\n\nThe end."
    )
    kinds = [(p.kind, p.text[:20]) for p in outline_of(text).paragraphs]
    assert kinds == [
        ("head", "CHAPTER ONE"),
        ("text", "It was a bright cold"),
        ("break", "* * *"),
        ("text", "The end."),
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("雪天的红气球\n\n天下雪了。", "head"),
        ("The lost ball\n\nNora ran.", "head"),
        ("Nora ran.\n\nBen sat.", "text"),
        ("“走吧”\n\n天下雪了。", "text"),
        ("No end", "text"),
        ("word " * 20 + "end\n\nNora ran.", "text"),
    ],
)
def test_a_short_first_line_without_a_mark_is_the_title(text: str, kind: str):
    assert outline_of(text).paragraphs[0].kind == kind


def test_lines_of_a_dialogue_stay_paragraphs():
    text = '"Come!" said Mia.\n"No."\n"Why not?"'
    assert len(outline_of(text).paragraphs) == 3


def test_control_characters_are_left_out_and_counted():
    outline = outline_of("Mi\x00a ran\x1b[31m.\u202e")
    assert outline.paragraphs[0].text == "Mia ran[31m."
    assert outline.notes == ("3 control characters were left out",)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [("", "a story"), ("***\n\n", "a story"), ("a" * (MAX_TEXT + 1), "at most")],
)
def test_what_is_no_story_is_refused(text: str, allowed: str):
    with pytest.raises(StoryboardError, match=allowed):
        outline_of(text)


def test_a_short_line_without_a_story_below_is_the_story() -> None:
    outline = outline_of("A dog runs on the beach\n\n* * *")
    assert [p.kind for p in outline.paragraphs] == ["text", "break"]
    below = outline_of("A dog runs on the beach\n\nIt was night.")
    assert [p.kind for p in below.paragraphs] == ["head", "text"]


@pytest.mark.parametrize(
    "line",
    ["Monday 6 November", "March 3rd, 1911", "12 June. Rain.", "Day three", "3月5日 晴", "星期一"],
)
def test_a_date_of_a_diary_is_a_head(line: str) -> None:
    outline = outline_of(f"Ada woke up.\n\n{line}\n\nIt rained.")
    assert [paragraph.kind for paragraph in outline.paragraphs] == ["text", "head", "text"]


@pytest.mark.parametrize("line", ["Monday morning was wet", "Sunday came.", "三月五日他走了。"])
def test_a_sentence_with_a_date_is_none(line: str) -> None:
    outline = outline_of(f"Ada woke up.\n\n{line}\n\nIt rained.")
    assert {paragraph.kind for paragraph in outline.paragraphs} == {"text"}
