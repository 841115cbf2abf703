"""Each distinct text is encoded once."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.conditioning.prompts import MAX_BATCH, encode_texts, zeros_like
from lafi.model.text_stacks.clip_reader import ClipReader
from lafi.ports.engines import EncodedText

LENGTH = 12


def token_ids(tokenizers: list[CLIPTokenizer], texts: list[str], length: int) -> Tensor:
    return torch.from_numpy(ClipReader(tokenizers, length).token_ids(texts))


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(checkpoint / "tokenizer")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([f"a child {i * 'is '}running" for i in range(10)]), max_size=25))
def test_every_text_has_its_own_encoding(tokenizer: CLIPTokenizer, texts: list[str]) -> None:
    calls: list[int] = []

    def encoder(ids: Tensor) -> EncodedText:
        calls.append(len(ids))
        return {"text": ids[..., None].float()}

    encoded = encode_texts(texts, ClipReader([tokenizer], LENGTH), encoder)
    assert set(encoded) == set(texts)
    assert sum(calls) == len(encoded)
    assert all(size <= MAX_BATCH for size in calls)
    for text, rows in encoded.items():
        assert rows.keys() == {"text"}
        assert torch.equal(rows["text"][:, 0], token_ids([tokenizer], [text], LENGTH)[0].float())


def test_two_tokenizers_each_pad_in_their_own_way(tokenizer: CLIPTokenizer) -> None:
    other = copy.deepcopy(tokenizer)
    other.pad_token = "!"
    texts = ["a child", "running"]

    def encoder(ids: Tensor) -> EncodedText:
        return {"text": ids[:, 0, :, None].float(), "pooled": ids[:, 1].float()}

    encoded = encode_texts(texts, ClipReader([tokenizer, other], LENGTH), encoder)
    for text in texts:
        first, second = (token_ids([one], [text], LENGTH)[0] for one in (tokenizer, other))
        assert torch.equal(encoded[text]["text"][:, 0], first.float())
        assert torch.equal(encoded[text]["pooled"], second.float())
        assert second[-1] == other.pad_token_id != first[-1]


def test_zeros_have_the_shape_of_a_prompt() -> None:
    nothing = zeros_like({"text": torch.ones(3, 2), "pooled": torch.ones(4)})
    assert torch.equal(nothing["text"], torch.zeros(3, 2))
    assert nothing.keys() == {"text", "pooled"}
    assert torch.equal(nothing["pooled"], torch.zeros(4))
