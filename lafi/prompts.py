"""Texts to token ids and on to encoded text, each distinct text once."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.engine.base import EncodedText, TextEncoder

MAX_BATCH = 8
"""Rows of one call of an encoder; the same with and without a server, so that bytes agree."""


def tokenize(tokenizers: Sequence[CLIPTokenizer], texts: Sequence[str], length: int) -> Tensor:
    """Token ids int64, padded; what does not fit is cut off at the end.

    (B, length) with one tokenizer; with more, (B, tokenizers, length).
    """
    ids = [_tokenize(tokenizer, texts, length) for tokenizer in tokenizers]
    return ids[0] if len(ids) == 1 else torch.stack(ids, dim=1)


def encode_texts(
    texts: Sequence[str], tokenizers: Sequence[CLIPTokenizer], encoder: TextEncoder, length: int
) -> dict[str, EncodedText]:
    """Every distinct text with its encoding: hidden (T, D), pooled (P,) or None."""
    distinct = list(dict.fromkeys(texts))
    encoded: dict[str, EncodedText] = {}
    for start in range(0, len(distinct), MAX_BATCH):
        batch = distinct[start : start + MAX_BATCH]
        rows = encoder(tokenize(tokenizers, batch, length))
        for row, text in enumerate(batch):
            pooled = None if rows.pooled is None else rows.pooled[row]
            encoded[text] = EncodedText(rows.hidden[row], pooled)
    return encoded


def zeros_like(text: EncodedText) -> EncodedText:
    """What stands for no prompt in models that take zeros for it."""
    pooled = None if text.pooled is None else torch.zeros_like(text.pooled)
    return EncodedText(torch.zeros_like(text.hidden), pooled)


def _tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str], length: int) -> Tensor:
    ids: Tensor = tokenizer(
        list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids
