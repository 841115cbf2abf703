"""Texts to token ids, and each distinct text encoded once."""

import copy
from pathlib import Path

import pytest
import torch
from diffusers.loaders import TextualInversionLoaderMixin
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.engine.base import EncodedText
from lafi.prompts import MAX_BATCH, encode_texts, expand_words, tokenize, zeros_like

LENGTH = 12


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(checkpoint / "tokenizer")


def test_ids_are_padded_and_cut_to_the_models_length(tokenizer: CLIPTokenizer) -> None:
    ids = tokenize([tokenizer], ["", "a child", "a child is running " * 20, "孩子"], LENGTH)
    assert ids.shape == (4, LENGTH)
    assert ids.dtype == torch.int64
    assert (ids[:, 0] == tokenizer.bos_token_id).all()
    assert ids[2, -1] == tokenizer.eos_token_id
    assert (ids[0, 1:] == tokenizer.pad_token_id).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([f"a child {i * 'is '}running" for i in range(10)]), max_size=25))
def test_every_text_has_its_own_encoding(tokenizer: CLIPTokenizer, texts: list[str]) -> None:
    calls: list[int] = []

    def encoder(ids: Tensor) -> EncodedText:
        calls.append(len(ids))
        return EncodedText(ids[..., None].float())

    encoded = encode_texts(texts, [tokenizer], encoder, LENGTH)
    assert set(encoded) == set(texts)
    assert sum(calls) == len(encoded)
    assert all(size <= MAX_BATCH for size in calls)
    for text, rows in encoded.items():
        assert rows.pooled is None
        assert torch.equal(rows.hidden[:, 0], tokenize([tokenizer], [text], LENGTH)[0].float())


def test_two_tokenizers_each_pad_in_their_own_way(tokenizer: CLIPTokenizer) -> None:
    other = copy.deepcopy(tokenizer)
    other.pad_token = "!"
    texts = ["a child", "running"]

    def encoder(ids: Tensor) -> EncodedText:
        return EncodedText(ids[:, 0, :, None].float(), ids[:, 1].float())

    encoded = encode_texts(texts, [tokenizer, other], encoder, LENGTH)
    for text in texts:
        first, second = (tokenize([one], [text], LENGTH)[0] for one in (tokenizer, other))
        assert torch.equal(encoded[text].hidden[:, 0], first.float())
        assert torch.equal(encoded[text].pooled, second.float())
        assert second[-1] == other.pad_token_id != first[-1]


@pytest.fixture(scope="module")
def learnt(tokenizer: CLIPTokenizer) -> CLIPTokenizer:
    """Knows `<mia>` by three embeddings, `<tom>` by one and `Zo*` by two."""
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["<mia>", "<mia>_1", "<mia>_2", "<tom>", "Zo*", "Zo*_1"])
    return other


@pytest.mark.parametrize(
    "text",
    [
        "a child is running",
        "<mia> and <tom> on the beach, <mia>",
        "by<mia>, <mia>",
        "<mia>_1 is running",
        "<mia>_3",
    ],
)
def test_words_are_written_out_as_diffusers_does(learnt: CLIPTokenizer, text: str) -> None:
    expected = TextualInversionLoaderMixin()._maybe_convert_prompt(text, learnt)
    ids, wanted = (learnt(t).input_ids for t in (expand_words(learnt, text), expected))
    assert ids == wanted


def test_every_embedding_of_a_word_is_a_token(learnt: CLIPTokenizer) -> None:
    first = learnt.convert_tokens_to_ids("<mia>")
    ids = tokenize([learnt], ["a <MIA> by <tom>"], LENGTH)[0].tolist()
    place = ids.index(first)
    assert ids[place : place + 3] == [first, first + 1, first + 2]
    assert ids.count(first) == 1
    assert first + 3 in ids
    # diffusers misses a word that was learnt with an upper-case letter.
    assert expand_words(learnt, "zo* and Zo*") == "zo* zo*_1 and zo* zo*_1"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["<mia>", "<mia>_1", "<tom>", "a", "running", "ZO*"]), max_size=6))
def test_what_is_written_out_stays(learnt: CLIPTokenizer, words: list[str]) -> None:
    once = expand_words(learnt, " ".join(words))
    assert expand_words(learnt, once) == once
    assert once.count("<mia>_2") == sum(
        word == "<mia>" and words[i + 1 : i + 3] != ["<mia>_1", "<mia>_2"]
        for i, word in enumerate(words)
    )


def test_a_tokenizer_without_such_words_changes_nothing(tokenizer: CLIPTokenizer) -> None:
    one = copy.deepcopy(tokenizer)
    one.add_tokens(["<mia>", "<tom>_1"])
    for text in ("a <mia> and <Tom>_1", "A Child"):
        assert expand_words(one, text) == expand_words(tokenizer, text) == text


def test_zeros_have_the_shape_of_a_prompt() -> None:
    nothing = zeros_like(EncodedText(torch.ones(3, 2), torch.ones(4)))
    assert torch.equal(nothing.hidden, torch.zeros(3, 2))
    assert torch.equal(nothing.pooled, torch.zeros(4))
    assert zeros_like(EncodedText(torch.ones(3, 2))).pooled is None
