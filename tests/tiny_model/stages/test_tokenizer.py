"""The tokenizer: 77 tokens hold nearly every caption, and unknown text is encoded."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from lafi_tiny.hand.caption import random_caption
from lafi_tiny.stages.blueprint import TEXT_LENGTH
from lafi_tiny.stages.samples import picture_of
from lafi_tiny.stages.tokenizer import (
    VOCABULARY,
    build_tokenizer,
    stage_tokenizer,
    token_ids,
)

texts = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("abcxyz ,.!'女孩子在海边\t\n🐈👩‍🚀é\u0301"),
    ),
    max_size=120,
)


def captions(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [random_caption(rng, picture_of(seed, i)) for i in range(count)]


def test_nearly_every_caption_fits() -> None:
    tokenizer = build_tokenizer(captions(6000, 0))
    lengths = [len(ids) for ids in tokenizer(captions(3000, 1)).input_ids]
    assert np.mean(np.array(lengths) > TEXT_LENGTH) < 0.002


def test_ids_have_one_length_and_texts_stay_apart(tokenizer: CLIPTokenizer) -> None:
    ids = token_ids(tokenizer, ["a child", "a boy in a red top " * 20, "¿qué?"])
    assert ids.shape == (3, TEXT_LENGTH)
    assert len({tuple(row) for row in ids.tolist()}) == 3


def test_it_is_made_once_and_kept(with_autoencoder: Path, tokenizer: CLIPTokenizer) -> None:
    again = stage_tokenizer(with_autoencoder)
    assert again.get_vocab() == tokenizer.get_vocab()


@pytest.fixture(scope="session")
def learnt() -> CLIPTokenizer:
    return build_tokenizer(captions(3000, 0))


@pytest.fixture(scope="session")
def reloaded(learnt: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    learnt.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


@settings(max_examples=150, deadline=None)
@given(text=texts)
def test_any_text_gives_all_ids_and_the_same_after_saving(
    learnt: CLIPTokenizer, reloaded: CLIPTokenizer, text: str
) -> None:
    (ids,) = token_ids(learnt, [text]).tolist()
    assert len(ids) == TEXT_LENGTH
    assert (ids[0], ids[-1]) == (learnt.bos_token_id, learnt.eos_token_id)
    assert 0 <= min(ids) <= max(ids) < len(learnt)
    assert [ids] == token_ids(reloaded, [text]).tolist()


@settings(max_examples=100, deadline=None)
@given(text=texts)
def test_no_text_is_unknown(learnt: CLIPTokenizer, text: str) -> None:
    """The end token also stands for what cannot be encoded: it must not occur inside."""
    assert learnt.eos_token_id not in learnt(text).input_ids[1:-1]


def test_nearly_all_english_words_are_whole_tokens(learnt: CLIPTokenizer) -> None:
    words = {word for caption in captions(300, 9) for word in re.findall(r"[a-z]+", caption)}
    assert len(words) > 100
    whole = [
        learnt.tokenize(f"on, {word}, on") == ["on</w>", ",</w>", f"{word}</w>", ",</w>", "on</w>"]
        for word in words
    ]
    assert np.mean(whole) >= 0.9


def test_capitals_and_spaces_do_not_matter(learnt: CLIPTokenizer) -> None:
    plain = learnt("a child running on the beach").input_ids
    assert learnt(" A  Child\nrunning on THE beach ").input_ids == plain


def test_its_size_and_length_are_as_asked_for(learnt: CLIPTokenizer) -> None:
    assert len(learnt) <= VOCABULARY
    small = build_tokenizer(["a child runs", "a child sits"] * 5, 600, length=48)
    assert 514 <= len(small) <= 600
    assert small.model_max_length == 48
    assert small.pad_token_id == small.eos_token_id
