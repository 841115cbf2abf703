"""Texts to token ids and on to encoded text, each distinct text once.

Knows tokenizers, also those with learnt words, not storyboards.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.conditioning.character_words import WordSpan
from lafi.model.input_port import NOWHERE
from lafi.ports.engines import EncodedText, TextEncoder

MAX_BATCH = 8
"""Rows of one call of an encoder; the same with and without a server, so that bytes agree."""


def tokenize(tokenizers: Sequence[CLIPTokenizer], texts: Sequence[str], length: int) -> Tensor:
    """Token ids int64, padded; what does not fit is cut off at the end. Learnt words of several
    embeddings become as many tokens.

    (B, length) with one tokenizer; with more, (B, tokenizers, length).
    """
    ids = [_tokenize(tokenizer, texts, length) for tokenizer in tokenizers]
    return ids[0] if len(ids) == 1 else torch.stack(ids, dim=1)


def encode_texts(
    texts: Sequence[str], tokenizers: Sequence[CLIPTokenizer], encoder: TextEncoder, length: int
) -> dict[str, EncodedText]:
    """Every distinct text with its encoding, without the batch."""
    distinct = list(dict.fromkeys(texts))
    encoded: dict[str, EncodedText] = {}
    for start in range(0, len(distinct), MAX_BATCH):
        batch = distinct[start : start + MAX_BATCH]
        rows = encoder(tokenize(tokenizers, batch, length))
        for row, text in enumerate(batch):
            encoded[text] = rows.row(row)
    return encoded


def word_slots(
    tokenizers: Sequence[CLIPTokenizer], text: str, spans: Sequence[WordSpan], length: int
) -> Tensor:
    """(length,) int32: for each token of `text` the slot of the span that it belongs to, or -1.

    A token belongs to a span if all its letters do: one that runs over an edge gets -1, as
    do the tokens that begin, end and pad a text. What `tokenize` cuts off is not there. Where
    two tokenizers disagree on a token, it gets -1.
    """
    first, *others = (_word_slots(tokenizer, text, spans, length) for tokenizer in tokenizers)
    for other in others:
        first = torch.where(first == other, first, NOWHERE)
    return first


def expand_words(tokenizer: CLIPTokenizer, text: str) -> str:
    """`text` with every learnt word of several embeddings written out, one token for each.

    Such a word is `<mia>` with the tokens `<mia>`, `<mia>_1`, `<mia>_2` ... in the tokenizer; the
    same rule as `maybe_convert_prompt` in diffusers' loaders/textual_inversion.py. Here letters
    may be upper or lower case, as for CLIP's tokenizers, and what is written out already stays.
    """
    return _expanded(tokenizer, text)[0]


def _expanded(tokenizer: CLIPTokenizer, text: str) -> tuple[str, list[tuple[int, int]]]:
    """`text` with learnt words written out; and for each of its letters where in `text` it is from.

    Every letter of a written-out word is from [start, stop), all of the word.
    """
    written = _written_out(tokenizer)
    if not written:
        return text, [(i, i + 1) for i in range(len(text))]
    # A token that only begins like the word is itself, and the written-out word is longer.
    known = {text: re.escape(text) for text in written.values()}
    for token in tokenizer.added_tokens_decoder.values():
        word = token.content.lower()
        # As tokenizers does: some words count only where no longer word goes on.
        known[word] = rf"\b{re.escape(word)}\b" if token.single_word else re.escape(word)
    longest_first = sorted(known, key=len, reverse=True)
    pattern = re.compile("|".join(known[text] for text in longest_first), re.IGNORECASE)
    parts: list[str] = []
    origins: list[tuple[int, int]] = []
    end = 0
    for found in pattern.finditer(text):
        word = written.get(found[0].lower())
        if word is None:
            continue
        start, stop = found.span()
        parts += [text[end:start], word]
        origins += [(i, i + 1) for i in range(end, start)] + [(start, stop)] * len(word)
        end = stop
    origins += [(i, i + 1) for i in range(end, len(text))]
    return "".join([*parts, text[end:]]), origins


def _written_out(tokenizer: CLIPTokenizer) -> dict[str, str]:
    """Word, lower case -> all its tokens; only words that have more than one."""
    tokens = {token.lower() for token in tokenizer.added_tokens_encoder}
    written = {}
    for word in tokens:
        count = 1
        while f"{word}_{count}" in tokens:
            count += 1
        if count > 1:
            written[word] = " ".join([word, *(f"{word}_{i}" for i in range(1, count))])
    return written


def zeros_like(text: EncodedText) -> EncodedText:
    """What stands for no prompt in models that take zeros for it."""
    ports = {name: torch.zeros_like(value) for name, value in text.ports.items()}
    return EncodedText(torch.zeros_like(text.hidden), ports)


def _tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str], length: int) -> Tensor:
    ids: Tensor = tokenizer(
        [expand_words(tokenizer, text) for text in texts],
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return ids


def _word_slots(
    tokenizer: CLIPTokenizer, text: str, spans: Sequence[WordSpan], length: int
) -> Tensor:
    expanded, origins = _expanded(tokenizer, text)
    offsets = tokenizer(
        expanded,
        padding="max_length",
        max_length=length,
        truncation=True,
        return_offsets_mapping=True,
    ).offset_mapping
    slots = [NOWHERE] * length
    for token, (start, stop) in enumerate(offsets):
        if start == stop:
            continue
        first, last = origins[start][0], origins[stop - 1][1]
        for span in spans:
            if span.start <= first and last <= span.stop:
                slots[token] = span.slot
    return torch.tensor(slots, dtype=torch.int32)
