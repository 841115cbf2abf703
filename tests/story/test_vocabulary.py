from pathlib import Path

import pytest

from lafi.board.error import StoryboardError
from lafi_story.vocabulary import Vocabulary, load_lexicon, load_vocabulary, plain

ROOT = Path(__file__).parents[2]


def test_the_bundled_tokenizer_is_that_of_the_bundled_model():
    own = ROOT / "story/lafi_story/words/bundled_tokenizer.json"
    assert own.read_bytes() == (ROOT / "tiny_model/weights/tokenizer/tokenizer.json").read_bytes()


def test_every_kind_has_words_in_both_languages(vocabulary: Vocabulary):
    for kind in ("actions", "places", "lights", "moods", "props"):
        for term in getattr(vocabulary, kind).values():
            assert term.prompt
            assert term.en
            assert term.zh


def test_lexicons_are_read():
    assert load_lexicon("en")["nicknames"]["nell"] == "eleanor"
    assert "说" in load_lexicon("zh")["speech"]


def test_an_own_vocabulary_replaces_the_bundled_one(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nactions: {flying: {prompt: soaring, en: [fly]}}\nfree: true\n")
    mine = load_vocabulary(path)
    assert (mine.drawn("actions", "flying"), mine.drawn("actions", "rowing")) == (
        "soaring",
        "rowing",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[]", "a mapping"),
        ("name: x\nunknown_action: fly", "unknown_action: got 'fly', allowed: one of actions"),
        ("name: x\ntoken_length: 3", "token_length: got 3, allowed: 16 to 4096 tokens"),
        ("name: x\nplaces: {a: {prompt: b, zh: ['']}}", "places.a.zh.*: got '', allowed: a word"),
        ("name: x\nplace: {}", "place: unknown field"),
        ("name: x\nplaces: {a: {prompt: '{b}'}}", "places.a.prompt"),
    ],
)
def test_a_wrong_vocabulary_is_refused_with_its_field(tmp_path: Path, text: str, line: str):
    (tmp_path / "v.yaml").write_text(text)
    with pytest.raises(StoryboardError, match=line.replace("[", r"\[")):
        load_vocabulary(tmp_path / "v.yaml")


def test_words_of_a_text_lose_what_a_prompts_grammar_knows():
    assert plain("a (red:1.3) {coat} <lora:x> [y] \\") == "a red 1 3 coat lora x y"
