"""Words are found by their forms, as whole words in English, names before anything else."""

from hypothesis import given
from hypothesis import strategies as st

from lafi_story.editing.words import WordFinder
from lafi_story.vocabulary import Vocabulary, load_vocabulary

FINDER = WordFinder(load_vocabulary(), ["mia", "rain", "小雨"])


def found(text: str) -> list[tuple[str, str]]:
    return [(one.kind, one.word) for one in FINDER.find(text) if one.kind != "filler"]


def test_forms_of_verbs_and_nouns():
    assert found("ran running runs sat chased") == [
        *(("actions", "running"),) * 3,
        ("actions", "sitting"),
        ("actions", "running"),
    ]
    assert found("balls, teddies") == [("props", "ball"), ("props", "teddy")]
    assert found("runner nightmare forested") == []


def test_a_name_counts_before_a_word_of_the_vocabulary():
    assert found("Rain runs") == [("name", "rain"), ("actions", "running")]
    assert found("小雨里") == [("name", "小雨")]


def test_a_prompt_has_no_words_of_a_wish(vocabulary: Vocabulary):
    prompt = "make it near the forest, close-up"
    kinds = [(one.kind, one.word) for one in WordFinder(vocabulary).find(prompt)]
    assert kinds == [("places", "forest"), ("framings", "near")]


@given(st.text(max_size=200))
def test_found_words_are_in_order_and_do_not_overlap(text: str):
    at = 0
    for one in FINDER.find(text):
        assert at <= one.start < one.end <= len(text)
        at = one.end
