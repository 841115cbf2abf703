"""The tokenizer made of the data set's captions."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from lafi_tiny.architecture import TEXT_LENGTH
from lafi_tiny.dataset import DatasetSpec
from lafi_tiny.tokenizer import build_tokenizer

texts = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("abcxyz ,.!'女孩子在海边\t\n🐈👩‍🚀é\u0301"),
    ),
    max_size=120,
)


@pytest.fixture(scope="session")
def captions() -> list[str]:
    rng, spec = np.random.default_rng(9), DatasetSpec(seed=3)
    return [spec.caption(i, rng) for i in range(300)]


@pytest.fixture(scope="session")
def reloaded(tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def _padded(tokenizer: CLIPTokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer(
        text, padding="max_length", truncation=True, max_length=TEXT_LENGTH
    ).input_ids
    return ids


@settings(max_examples=150, deadline=None)
@given(text=texts)
def test_any_text_gives_all_ids_and_the_same_after_saving(
    tokenizer: CLIPTokenizer, reloaded: CLIPTokenizer, text: str
) -> None:
    ids = _padded(tokenizer, text)
    assert len(ids) == TEXT_LENGTH
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id
    assert 0 <= min(ids) <= max(ids) < len(tokenizer)
    assert ids == _padded(reloaded, text)


@settings(max_examples=100, deadline=None)
@given(text=texts)
def test_no_text_is_unknown(tokenizer: CLIPTokenizer, text: str) -> None:
    """The end token also stands for what cannot be encoded: it must not occur inside."""
    inside = tokenizer(text).input_ids[1:-1]
    assert tokenizer.eos_token_id not in inside


def test_captions_fit_and_are_told_apart(tokenizer: CLIPTokenizer, captions: list[str]) -> None:
    ids = {caption: tuple(tokenizer(caption).input_ids) for caption in captions}
    assert max(len(i) for i in ids.values()) <= TEXT_LENGTH
    assert len(set(ids.values())) == len(ids)


def test_english_words_are_whole_tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> None:
    words = {word for caption in captions for word in re.findall(r"[a-z]+", caption)}
    assert len(words) > 50
    for word in words:
        pieces = tokenizer.tokenize(f"on, {word}, on")
        assert pieces == ["on</w>", ",</w>", f"{word}</w>", ",</w>", "on</w>"]


def test_capitals_and_spaces_do_not_matter(tokenizer: CLIPTokenizer) -> None:
    plain = tokenizer("a child running on the beach").input_ids
    assert tokenizer(" A  Child\nrunning on THE beach ").input_ids == plain


def test_its_size_stays_within_the_vocabulary_asked_for(tokenizer: CLIPTokenizer) -> None:
    assert len(tokenizer) <= 1200
    small = build_tokenizer(["a child runs", "a child sits"] * 5, 600)
    assert 514 <= len(small) <= 600
    assert small.model_max_length == TEXT_LENGTH
    assert small.pad_token_id == small.eos_token_id
