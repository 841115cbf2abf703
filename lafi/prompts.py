"""Texts to token ids and on to encoded text, each distinct text once."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.engine.base import TextEncoder

MAX_BATCH = 8
"""Rows of one call of an encoder; the same with and without a server, so that bytes agree."""


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str], length: int) -> Tensor:
    """Token ids (B, length) int64, padded; what does not fit is cut off at the end."""
    ids: Tensor = tokenizer(
        list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def encode_texts(
    texts: Sequence[str], tokenizer: CLIPTokenizer, encoder: TextEncoder, length: int
) -> dict[str, Tensor]:
    """Every distinct text with its encoding (T, D) float32."""
    distinct = list(dict.fromkeys(texts))
    encoded: dict[str, Tensor] = {}
    for start in range(0, len(distinct), MAX_BATCH):
        batch = distinct[start : start + MAX_BATCH]
        rows = encoder(tokenize(tokenizer, batch, length))
        encoded.update(zip(batch, torch.unbind(rows), strict=True))
    return encoded
