import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_story.pages.line_breaks import CLOSING, OPENING, SetText
from lafi_story.pages.typeface import LINE, shipped_typefaces

WESTERN, CHINESE = shipped_typefaces()
ENGLISH_TEXTS = st.lists(
    st.text(alphabet="abcdefgh,.!?;:'\"()-", min_size=1, max_size=14), min_size=1, max_size=12
).map(" ".join)
CHINESE_TEXTS = st.text(
    alphabet="一二三四雪国里写的，。！？；：、“”《》…—", min_size=1, max_size=60
)
WIDTHS = st.floats(1.5, 20)


def set_text(text: str, language: str) -> SetText:
    return SetText(text, CHINESE if language == "zh" else WESTERN, language)


TEXTS = st.one_of(st.tuples(ENGLISH_TEXTS, st.just("en")), st.tuples(CHINESE_TEXTS, st.just("zh")))


@settings(max_examples=60, deadline=None)
@given(TEXTS, WIDTHS)
def test_closing_punctuation_never_begins_a_line_and_opening_never_ends_one(
    text: tuple[str, str], width: float
):
    lines = set_text(*text).wrapped(width).lines
    assert all(line[0] not in CLOSING for line in lines[1:])
    assert all(line[-1] not in OPENING for line in lines[:-1])


@settings(max_examples=60, deadline=None)
@given(TEXTS, WIDTHS)
def test_no_sign_is_lost(text: tuple[str, str], width: float):
    lines = set_text(*text).wrapped(width).lines
    whole = text[0].replace(" ", "")
    assert "".join(lines).replace(" ", "").replace("-", "") == whole.replace("-", "")


@settings(max_examples=60, deadline=None)
@given(TEXTS, WIDTHS)
def test_a_block_is_as_wide_as_its_widest_line_and_keeps_to_the_width_where_it_can(
    text: tuple[str, str], width: float
):
    shown = set_text(*text)
    block = shown.wrapped(width)
    assert block.width == max(shown.length(line) for line in block.lines)
    assert block.height == LINE * len(block.lines)
    # Only what may not be cut is wider: signs with the punctuation that clings to them, also over a
    # space, but never two words.
    for line in block.lines:
        if shown.length(line) > width:
            assert not re.search(r"\w \w", line)


def test_punctuation_alone_stays_on_one_line():
    assert set_text(": : : :", "en").wrapped(1.5).lines == (": : : :",)


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.lists(WIDTHS, min_size=1, max_size=4))
def test_blocks_differ_in_the_number_of_their_lines(text: tuple[str, str], widths: list[float]):
    counts = [len(block.lines) for block in set_text(*text).blocks(widths)]
    assert len(counts) == len(set(counts))


def test_english_ends_lines_at_spaces():
    assert set_text("One two three four", "en").wrapped(5.0).lines == ("One two", "three four")


def test_chinese_ends_lines_between_signs():
    lines = set_text("今天天气真好，是不是？", "zh").wrapped(6.0).lines
    assert lines == ("今天天气真", "好，是不是？")


def test_a_word_that_is_wider_than_the_line_is_hyphenated():
    lines = set_text("extraordinarily", "en").wrapped(4.0).lines
    assert lines == ("extraor-", "dinarily")


def test_what_no_dictionary_knows_is_cut_between_signs():
    lines = set_text("zzzzzzzzzz", "en").wrapped(2.0).lines
    assert len(lines) > 1
    assert max(map(set_text("z", "en").length, lines)) <= 2.0


@pytest.mark.parametrize("text", ["，，，，", "……", "“"])
def test_punctuation_alone_is_set(text: str):
    assert set_text(text, "zh").wrapped(1.0).lines == (text,)
