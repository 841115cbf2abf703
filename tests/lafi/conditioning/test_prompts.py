"""Each distinct text is encoded once."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.conditioning.prompts import MAX_BATCH, TextReading, encode_texts, zeros_like
from lafi.model.families.registry import input_ports
from lafi.model.text_stacks.clip_reader import ClipReader
from lafi.ports.engines import EncodedText
from model_infos import model_info

LENGTH = 12
PORTS = input_ports(model_info(text_windows=9, pooled_width=4))


def token_ids(tokenizers: list[CLIPTokenizer], texts: list[str], length: int) -> Tensor:
    return torch.from_numpy(ClipReader(tokenizers, length, 9).token_ids(texts))


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(checkpoint / "tokenizer")


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from([f"a child {i * 'is '}running" for i in range(0, 30, 3)]), max_size=25)
)
def test_every_text_has_its_own_encoding(tokenizer: CLIPTokenizer, texts: list[str]) -> None:
    calls: list[int] = []

    def encoder(ids: Tensor, clip_skip: int = 0) -> EncodedText:
        calls.append(len(ids))
        return {"text": ids[..., None].float()}

    encoded = encode_texts(texts, ClipReader([tokenizer], LENGTH, 9), encoder, PORTS)
    assert set(encoded) == set(texts)
    assert sum(calls) == sum(len(token_ids([tokenizer], [text], LENGTH)) for text in encoded)
    assert all(size <= MAX_BATCH for size in calls)
    for text, rows in encoded.items():
        assert rows.keys() == {"text"}
        windows = token_ids([tokenizer], [text], LENGTH)
        assert torch.equal(rows["text"][:, 0], windows.flatten().float())


def test_two_tokenizers_each_pad_in_their_own_way(tokenizer: CLIPTokenizer) -> None:
    other = copy.deepcopy(tokenizer)
    other.pad_token = "!"
    texts = ["a child", "running"]

    def encoder(ids: Tensor, clip_skip: int = 0) -> EncodedText:
        return {"text": ids[:, 0, :, None].float(), "pooled": ids[:, 1].float()}

    encoded = encode_texts(texts, ClipReader([tokenizer, other], LENGTH), encoder, PORTS)
    for text in texts:
        first, second = (token_ids([one], [text], LENGTH)[0] for one in (tokenizer, other))
        assert torch.equal(encoded[text]["text"][:, 0], first.float())
        assert torch.equal(encoded[text]["pooled"], second.float())
        assert second[-1] == other.pad_token_id != first[-1]


def test_the_pooled_embedding_of_a_long_text_is_its_first_windows(
    tokenizer: CLIPTokenizer,
) -> None:
    def encoder(ids: Tensor, clip_skip: int = 0) -> EncodedText:
        return {"text": ids[..., None].float(), "pooled": ids.sum(1, keepdim=True).float()}

    reader = ClipReader([tokenizer], LENGTH, 9)
    texts = ["a child", "a child BREAK running"]
    encoded = encode_texts(texts, reader, encoder, PORTS)
    assert encoded[texts[1]]["text"].shape == (2 * LENGTH, 1)
    assert torch.equal(encoded[texts[1]]["pooled"], encoded[texts[0]]["pooled"])
    assert torch.equal(encoded[texts[1]]["text"][:LENGTH], encoded[texts[0]]["text"])


def test_weighted_words_are_multiplied_and_others_are_not(tokenizer: CLIPTokenizer) -> None:
    def encoder(ids: Tensor, clip_skip: int = 0) -> EncodedText:
        return {"text": torch.ones(*ids.shape, 2)}

    reader, text = ClipReader([tokenizer], LENGTH, 9), "a (child:1.5) running BREAK (night:2)"
    encoded = encode_texts([text], reader, encoder, PORTS, TextReading(weighted=True))
    weighted = encoded[text]["text"][:, 0]
    row = weighted / weighted[0]
    ones = [1.0] * LENGTH
    expected = [*ones[:2], 1.5, *ones[3:], 1.0, 2.0, *ones[2:]]
    torch.testing.assert_close(row, torch.tensor(expected))
    assert weighted.mean() == pytest.approx(1.0)
    written = encode_texts([text], reader, encoder, PORTS)[text]["text"]
    assert (written == 1).all()


def test_zeros_have_the_shape_of_a_prompt() -> None:
    nothing = zeros_like({"text": torch.ones(3, 2), "pooled": torch.ones(4)})
    assert torch.equal(nothing["text"], torch.zeros(3, 2))
    assert nothing.keys() == {"text", "pooled"}
    assert torch.equal(nothing["pooled"], torch.zeros(4))
