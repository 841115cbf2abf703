"""PixArt's texts: the ids of diffusers' pipelines, in lower case."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import T5Tokenizer

from lafi.model.text_stack import WordSpan
from lafi.model.text_stacks.pixart import PixArtReader
from lafi.model.text_stacks.t5_reader import t5_reader

LENGTH = 24


@pytest.fixture(scope="module")
def tokenizer(small_checkpoints: Callable[[str], Path]) -> Path:
    return small_checkpoints("pixart") / "tokenizer"


@pytest.fixture(scope="module")
def reader(tokenizer: Path) -> PixArtReader:
    return PixArtReader(t5_reader(tokenizer, LENGTH))


@pytest.fixture(scope="module")
def theirs(tokenizer: Path) -> T5Tokenizer:
    return T5Tokenizer.from_pretrained(tokenizer)


@settings(deadline=None, max_examples=40)
@given(st.text(st.sampled_from("aB \n\tXyİΣ."), max_size=10))
def test_ids_are_those_of_the_pipeline(
    reader: PixArtReader, theirs: T5Tokenizer, text: str
) -> None:
    """Source: `_text_preprocessing` with `clean_caption=False`, which also strips blanks."""
    cleaned = text.lower().strip()
    wanted = theirs(cleaned, padding="max_length", max_length=LENGTH, truncation=True)
    assert reader.token_ids([text]).tolist() == [wanted.input_ids]
    assert reader.unread(text) == ""


def test_a_text_that_is_too_long_is_refused(reader: PixArtReader) -> None:
    text = "ABC " * 8
    assert reader.unread(text)
    assert text.lower().rstrip().endswith(reader.unread(text))
    with pytest.raises(ValueError, match=r"text: got \d+ tokens, allowed at most 23"):
        reader.token_ids([text])


def test_words_of_a_span_have_its_slot_where_letters_become_two(
    reader: PixArtReader, theirs: T5Tokenizer
) -> None:
    text = "İ XY b"
    slots = reader.slots(text, [WordSpan(2, 4, 1)])
    tokens = theirs.convert_ids_to_tokens(reader.token_ids([text])[0])
    found = "".join(token for token, slot in zip(tokens, slots, strict=True) if slot == 1)
    assert found.replace("\u2581", "") == "xy"
