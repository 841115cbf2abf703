"""Each distinct text is encoded once.

Knows encoders of texts, not storyboards.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import torch

from lafi.conditioning.prompt_weights import (
    WeightedText,
    apply_weights,
    as_read,
    token_weights,
    weight_spans,
)
from lafi.model.input_port import TEXT, TOKENS, InputPort
from lafi.model.text_stack import PromptReader
from lafi.ports.engines import EncodedText, TextEncoder


class TextReading(NamedTuple):
    """How a storyboard's texts are read.

    weighted   whether parentheses and brackets give words a weight
               (`lafi.conditioning.prompt_weights`)
    clip_skip  how many of the encoder's last layers have no part in a prompt's embeddings
    """

    weighted: bool = False
    clip_skip: int = 0


PLAIN: Final = TextReading()
"""Letters as they are written, and all layers."""


MAX_BATCH = 8
"""Rows of one call of an encoder; the same with and without a server, so that bytes agree."""


def encode_texts(
    texts: Sequence[str],
    reader: PromptReader,
    encoder: TextEncoder,
    ports: Sequence[InputPort],
    reading: TextReading = PLAIN,
) -> dict[str, EncodedText]:
    """Every distinct text with its encoding, without the batch.

    ports: the denoiser's inputs. Those of a text of several windows that have an axis of tokens
    are joined on it; the others are the first window's.
    Raises ValueError for a text too long, and WeightError.
    """
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    read = [as_read(text, weighted=reading.weighted) for text in distinct]
    token_ids = torch.from_numpy(reader.token_ids([each.text for each in read]))
    windows: list[EncodedText] = []
    for ids in token_ids.split(MAX_BATCH):
        rows = encoder(ids, reading.clip_skip)
        windows += [{port: values[row] for port, values in rows.items()} for row in range(len(ids))]
    joined = {port.name for port in ports if port.axis(TOKENS) is not None}
    encoded: dict[str, EncodedText] = {}
    start = 0
    for text, each in zip(distinct, read, strict=True):
        count = reader.size(each.text).windows
        encoded[text] = _weighted(_joined(windows[start : start + count], joined), each, reader)
        start += count
    return encoded


def _weighted(encoded: EncodedText, read: WeightedText, reader: PromptReader) -> EncodedText:
    if read.plain:
        return encoded
    spans, weights = weight_spans(read)
    slots = torch.from_numpy(reader.slots(read.text, spans))
    return {**encoded, TEXT: apply_weights(encoded[TEXT], token_weights(slots, weights))}


def _joined(windows: Sequence[EncodedText], names: Collection[str]) -> EncodedText:
    first, *more = windows
    if not more:
        return first
    return {
        port: torch.cat([window[port] for window in windows]) if port in names else value
        for port, value in first.items()
    }


def zeros_like(text: EncodedText) -> EncodedText:
    """What stands for no prompt in models that take zeros for it."""
    return {port: torch.zeros_like(value) for port, value in text.items()}
