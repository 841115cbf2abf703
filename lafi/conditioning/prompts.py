"""Each distinct text is encoded once.

Knows encoders of texts, not storyboards.
"""

from collections.abc import Sequence

import torch

from lafi.model.text_stack import PromptReader
from lafi.ports.engines import EncodedText, TextEncoder

MAX_BATCH = 8
"""Rows of one call of an encoder; the same with and without a server, so that bytes agree."""


def encode_texts(
    texts: Sequence[str], reader: PromptReader, encoder: TextEncoder
) -> dict[str, EncodedText]:
    """Every distinct text with its encoding, without the batch."""
    distinct = list(dict.fromkeys(texts))
    encoded: dict[str, EncodedText] = {}
    for start in range(0, len(distinct), MAX_BATCH):
        batch = distinct[start : start + MAX_BATCH]
        rows = encoder(torch.from_numpy(reader.token_ids(batch)))
        for row, text in enumerate(batch):
            encoded[text] = {port: values[row] for port, values in rows.items()}
    return encoded


def zeros_like(text: EncodedText) -> EncodedText:
    """What stands for no prompt in models that take zeros for it."""
    return {port: torch.zeros_like(value) for port, value in text.items()}
