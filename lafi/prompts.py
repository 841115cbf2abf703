"""Texts to token ids and on to encoded text, each distinct text once.

Knows tokenizers, also those with learnt words, not storyboards.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.engine.base import EncodedText, TextEncoder

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


def expand_words(tokenizer: CLIPTokenizer, text: str) -> str:
    """`text` with every learnt word of several embeddings written out, one token for each.

    Such a word is `<mia>` with the tokens `<mia>`, `<mia>_1`, `<mia>_2` ... in the tokenizer; the
    same rule as `maybe_convert_prompt` in diffusers' loaders/textual_inversion.py. Here letters
    may be upper or lower case, as for CLIP's tokenizers, and what is written out already stays.
    """
    written = _written_out(tokenizer)
    if not written:
        return text
    # A token that only begins like the word is itself, and the written-out word is longer.
    known = {*written.values(), *(token.lower() for token in tokenizer.added_tokens_encoder)}
    longest_first = sorted(known, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
    return pattern.sub(lambda found: written.get(found[0].lower(), found[0]), text)


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
    pooled = None if text.pooled is None else torch.zeros_like(text.pooled)
    return EncodedText(torch.zeros_like(text.hidden), pooled)


def _tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str], length: int) -> Tensor:
    ids: Tensor = tokenizer(
        [expand_words(tokenizer, text) for text in texts],
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return ids
