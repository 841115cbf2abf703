"""Texts to T5's token ids."""

import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import T5Tokenizer

from lafi.model.architectures.architecture import Architecture
from lafi.model.text_stack import TextSize, WordSpan
from lafi.model.text_stacks.t5_reader import T5Reader, t5_reader
from lafi.model.tokenizer_files import TokenizerError, vocabulary_size
from lafi_export.random_tokenizers import random_tokenizer

LENGTH = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = {"tokenizer": ("transformers", "T5TokenizerFast")}
    chosen = Architecture("t5", "Pipeline", classes, {}, {}, {})
    made = tmp_path_factory.mktemp("t5") / "tokenizer"
    random_tokenizer(chosen, "tokenizer").save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> T5Tokenizer:
    return T5Tokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def reader(folder: Path) -> T5Reader:
    return t5_reader(folder, LENGTH)


def test_the_vocabulary_is_counted_from_the_files(folder: Path, tokenizer: T5Tokenizer) -> None:
    assert vocabulary_size(folder) == len(tokenizer)


@settings(deadline=None, max_examples=50)
@given(st.text(st.sampled_from("ab xyz.é\n"), max_size=LENGTH))
def test_ids_are_those_of_the_pipelines_or_the_text_is_refused(
    reader: T5Reader, tokenizer: T5Tokenizer, text: str
) -> None:
    """They cut what is too long; here it is refused, and what they would cut is `unread`."""
    wanted = tokenizer(text, padding="max_length", max_length=LENGTH, truncation=True).input_ids
    whole = tokenizer(text).input_ids
    if len(whole) <= LENGTH:
        assert reader.unread(text) == ""
        assert reader.token_ids([text]).tolist() == [wanted]
        assert reader.size(text) == TextSize(len(whole) - 1, 1)
    else:
        kept = text.rstrip().removesuffix(reader.unread(text)).rstrip()
        assert kept != text.rstrip()
        (ids,), count = reader.token_ids([kept]).tolist(), reader.size(kept).tokens
        # Where a new word is cut, the blank before it is a token that is kept.
        assert count >= LENGTH - 2
        assert ids[:count] == wanted[:count]
        with pytest.raises(ValueError, match=r"text: got \d+ tokens, allowed at most 11"):
            reader.token_ids([text])


def test_a_token_counts_where_its_id_is_not_that_of_padding(
    reader: T5Reader, tokenizer: T5Tokenizer
) -> None:
    ids = reader.token_ids(["ab", "", "xyz"])
    assert ids.dtype == np.int64
    texts = tokenizer(["ab", "", "xyz"], padding="max_length", max_length=LENGTH)
    assert (ids != 0).astype(int).tolist() == texts.attention_mask
    assert reader.token_ids([]).shape == (0, LENGTH)


def test_a_tokenizer_that_pads_otherwise_is_refused(tokenizer: T5Tokenizer, tmp_path: Path) -> None:
    other = copy.deepcopy(tokenizer)
    other.pad_token = "</s>"
    other.save_pretrained(tmp_path)
    with pytest.raises(TokenizerError, match="id of padding: got 1, allowed 0"):
        t5_reader(tmp_path, LENGTH)


def test_words_of_a_span_have_its_slot(reader: T5Reader, tokenizer: T5Tokenizer) -> None:
    text = "a xy b"
    slots = reader.slots(text, [WordSpan(2, 4, 3)])
    tokens = tokenizer.convert_ids_to_tokens(reader.token_ids([text])[0])
    assert slots.shape == (LENGTH,)
    found = [token for token, slot in zip(tokens, slots, strict=True) if slot == 3]
    assert "".join(found).replace("\u2581", "") == "xy"
    assert set(slots) == {-1, 3}
    assert set(reader.slots(text, [])) == {-1}
