"""Texts to the token ids of BERT and T5 together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer, T5Tokenizer

from lafi.model.text_stack import WordSpan
from lafi.model.text_stacks.hunyuan_reader import HunyuanReader, hunyuan_reader

LONG = "abc " * 30


@pytest.fixture(scope="module")
def folder(small_checkpoints: Callable[[str], Path]) -> Path:
    return small_checkpoints("hunyuan")


@pytest.fixture(scope="module")
def reader(folder: Path) -> HunyuanReader:
    return hunyuan_reader(folder / "tokenizer", folder / "tokenizer_2")


@pytest.fixture(scope="module")
def tokenizers(folder: Path) -> tuple[Any, Any]:
    return (
        BertTokenizer.from_pretrained(folder / "tokenizer"),
        T5Tokenizer.from_pretrained(folder / "tokenizer_2"),
    )


@settings(deadline=None, max_examples=40)
@given(st.text(st.sampled_from("aB xyz.é\n"), max_size=160))
def test_ids_are_those_of_the_pipeline(
    reader: HunyuanReader, tokenizers: tuple[Any, Any], text: str
) -> None:
    (ids,) = reader.token_ids([text])
    assert ids.shape == (2, 256)
    for row, tokenizer, length in zip(ids, tokenizers, (77, 256), strict=True):
        wanted = tokenizer(text, padding="max_length", max_length=length, truncation=True)
        assert row[:length].tolist() == wanted.input_ids
        assert (row[:length] != 0).astype(int).tolist() == wanted.attention_mask
        assert not row[length:].any()


def test_what_bert_does_not_read_is_said(reader: HunyuanReader) -> None:
    assert reader.size("a b").partly == ""
    assert reader.size("a" * 75).partly == ""
    size = reader.size("a" * 76)
    assert size.partly.startswith("76 tokens of BERT, which reads the first 75, to 'aaaa")
    assert size.partly.endswith("'; T5 reads all")
    assert (size.windows, reader.unread("a" * 76)) == (1, "")


def test_what_t5_does_not_read_is_refused(reader: HunyuanReader) -> None:
    text = "abcd " * 60
    assert reader.unread(text)
    with pytest.raises(ValueError, match=r"text: got \d+ tokens, allowed at most 255"):
        reader.token_ids([text])


def test_words_of_a_span_have_its_slot_for_both(
    reader: HunyuanReader, tokenizers: tuple[Any, Any]
) -> None:
    text = "a xy b"
    slots, (ids,) = reader.slots(text, [WordSpan(2, 4, 3)]), reader.token_ids([text])
    assert slots.shape == (77 + 256,)
    for own, row, tokenizer in zip((slots[:77], slots[77:]), ids, tokenizers, strict=True):
        tokens = tokenizer.convert_ids_to_tokens(row[: len(own)])
        found = "".join(t for t, slot in zip(tokens, own, strict=True) if slot == 3)
        assert found.replace("##", "").replace("\u2581", "") == "xy"
        assert set(own) == {-1, 3}


def test_another_padding_is_refused(folder: Path, tmp_path: Path) -> None:
    BertTokenizer(
        vocab={"[UNK]": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="id of the token that pads: got 1, allowed 0"):
        hunyuan_reader(tmp_path, folder / "tokenizer_2")
