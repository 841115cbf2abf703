"""Words in prompts, in both languages and in every field: refused, or said by field and word."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.safety_words import SafetyWords, load_safety
from lafi.board.storyboard import Storyboard

BOARD = Storyboard.model_validate(
    {
        "title": "nude",
        "negative_prompt": "nude, gore",
        "trigger": "hentai style",
        "characters": [
            {"name": "mia", "prompt": "a child, 色 情", "trigger": "NSFW"},
        ],
        "sampling": {"stages": [{}, {"prompt": "torture"}]},
        "panels": [
            {"prompt": "{mia} with a naked eye"},
            {"prompt": "{mia} NAKED, naked and self  harm", "negative_prompt": "naked"},
            {"prompt": "血-腥的画面", "sampling": {"stages": [{"prompt": "a sexy \u200bpose"}]}},
        ],
    }
)
FOUND = [
    ("trigger", "hentai"),
    ("characters[0].prompt", "色情"),
    ("characters[0].trigger", "nsfw"),
    ("sampling.stages[1].prompt", "torture"),
    ("panels[1].prompt", "naked"),
    ("panels[1].prompt", "self harm"),
    ("panels[2].prompt", "血腥"),
    ("panels[2].sampling.prompt", "sexy"),
]


def test_every_text_that_is_drawn_is_read_and_no_other():
    found = [
        (field, " ".join(word.split())) for field, word in load_safety("flag").words.found(BOARD)
    ]
    assert found == FOUND


def test_refuse_names_field_and_word():
    with pytest.raises(StoryboardError) as refused:
        load_safety("refuse").check(BOARD)
    lines = refused.value.problems
    assert len(lines) == len(FOUND)
    assert lines[4] == (
        "panels[1].prompt: got 'naked', allowed: no word of this server's safety list "
        "(safety: refuse)"
    )


def test_flag_says_each_and_off_says_nothing():
    said = load_safety("flag").check(BOARD)
    assert said[4] == "safety: panels[1].prompt has 'naked', a word of this server's list"
    assert len(said) == len(FOUND)
    assert load_safety("off").check(BOARD) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Essex, a sextant, unisex and asexual", []),
        ("the naked mole rat sees with the naked eye", []),
        ("(nude:1.3)", ["nude"]),
        ("ｎｕｄｅ", ["nude"]),
        ("nu\u200bde", ["nude"]),
        ("slit-wrists", ["slit-wrists"]),
        ("全 裸", ["全裸"]),
        ("她自杀了", ["自杀"]),
        ("naked画面", ["naked"]),
    ],
)
def test_whole_words_in_any_form(text: str, words: list[str]):
    assert list(load_safety("flag").words.within(text)) == words


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_word_with_blanks_around_it_is_found_anywhere(before: str, after: str):
    words = SafetyWords(("zebra", "斑马"))
    assert "zebra" in words.within(f"{before} zebra {after}")
    assert "斑马" in words.within(f"{before} 斑马 {after}")


def test_a_file_adds_words_allows_phrases_or_replaces_the_list(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("en: [dragon]\nzh: [龙]\nallow: {en: [dragon fruit, nude colours]}\n")
    words = load_safety("flag", file).words
    assert list(words.within("a dragon, dragon fruit, nude colours, nude, 龙")) == [
        *("dragon", "nude", "龙"),
    ]
    file.write_text("en: [dragon]\nshipped: false\n")
    assert list(load_safety("flag", file).words.within("a nude dragon")) == ["dragon"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n", "mine.yaml: got .*, allowed: a mapping with en, zh, allow, shipped"),
        ("english: [a]\n", r"mine.yaml: english: unknown field"),
        ("en: ['']\n", r"mine.yaml: en\[0\]: got '', allowed: a word"),
        ("shipped: false\n", "safety words: got no words"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, line: str, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(StoryboardError, match=line):
        load_safety("flag", file)


def test_settings_that_do_not_fit_are_refused(tmp_path: Path):
    with pytest.raises(
        StoryboardError, match=r"safety: got 'refuze', allowed: off, flag, refuse \("
    ):
        load_safety("refuze")
    with pytest.raises(StoryboardError, match="with safety: off"):
        load_safety("off", tmp_path / "mine.yaml")
    with pytest.raises(StoryboardError, match="no such file"):
        load_safety("flag", tmp_path / "mine.yaml")
