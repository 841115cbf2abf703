"""Texts to the ids of a chat: nothing is cut, and a word's tokens are found again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen2Tokenizer

from lafi.model.text_stack import WordSpan
from lafi.model.text_stacks.qwen_reader import MULTIPLE, QwenReader

CHATTED = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<|>"), max_size=30)


@pytest.fixture(scope="module")
def tokenizer(small_checkpoints: Callable[[str], Path]) -> Any:
    return Qwen2Tokenizer.from_pretrained(small_checkpoints("zimage") / "tokenizer")


@pytest.fixture(scope="module")
def reader(tokenizer: Any) -> QwenReader:
    return QwenReader(tokenizer, 96)


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=3))
def test_ids_are_those_of_the_chat(reader: QwenReader, tokenizer: Any, texts: list[str]) -> None:
    wanted = [tokenizer(CHATTED.format(text)).input_ids for text in texts]
    if max(map(len, wanted)) > 96:
        return
    ids = reader.token_ids(texts)
    assert ids.shape[2] % MULTIPLE == 0
    assert ids.shape[2] - max(map(len, wanted)) < MULTIPLE
    for row, own in zip(ids, wanted, strict=True):
        assert row[0, : row[1].sum()].tolist() == own
        assert set(row[0, len(own) :]) <= {tokenizer.pad_token_id}
        assert row[1].tolist() == [1] * len(own) + [0] * (ids.shape[2] - len(own))


@settings(max_examples=40, deadline=None)
@given(text=st.text("abc d", max_size=120))
def test_what_is_too_long_is_refused_and_its_end_is_named(reader: QwenReader, text: str) -> None:
    marks = len(reader._ids(""))
    assert reader.size(text).tokens == len(text)
    end = reader.unread(text)
    if len(text) + marks <= 96:
        assert end == ""
        return
    assert end == text[96 - marks :]
    with pytest.raises(ValueError, match=f"text: got {len(text) + marks} tokens, allowed 96"):
        reader.token_ids([text])


def test_a_words_tokens_are_found_without_the_blank_before_them(
    reader: QwenReader, tokenizer: Any
) -> None:
    text = "a red hat"
    slots = reader.slots(text, [WordSpan(2, 5, 3)])
    ids = reader.token_ids([text])[0, 0]
    assert len(slots) == len(ids)
    assert tokenizer.decode(ids[slots == 3]) == "red"
    # The chat's own word is not the text's.
    own = reader.slots("user", [WordSpan(0, 4, 3)]).tolist()
    before = tokenizer("<|im_start|>user\n").input_ids
    assert own.index(3) == len(before)
