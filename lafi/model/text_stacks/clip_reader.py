"""Texts to CLIP's token ids, also with tokenizers that have learnt words of several embeddings."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lafi.model.input_port import NOWHERE
from lafi.model.text_stack import WordSpan

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


class ClipReader:
    """`lafi.model.text_stack.PromptReader` of one or two CLIP tokenizers.

    Learnt words of several embeddings become as many tokens.
    """

    def __init__(self, tokenizers: Sequence["CLIPTokenizer"], length: int) -> None:
        """length: tokens of every text, those that begin, end and pad it included."""
        self.tokenizers = tuple(tokenizers)
        self._length = length

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(B, length) with one tokenizer, padded and cut; with more, (B, tokenizers, length)."""
        ids = [self._ids(tokenizer, texts) for tokenizer in self.tokenizers]
        return ids[0] if len(ids) == 1 else np.stack(ids, axis=1)

    def unread(self, text: str) -> str:
        """As `PromptReader`; the longest end that one of the tokenizers leaves out."""
        return max((self._unread(tokenizer, text) for tokenizer in self.tokenizers), key=len)

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        """(length,): for each token of `text` the slot of the span that it belongs to, or -1.

        A token belongs to a span if all its letters do: one that runs over an edge gets -1, as
        do the tokens that begin, end and pad a text. Where two tokenizers disagree on a token, it
        gets -1.
        """
        first, *others = (self._slots(tokenizer, text, spans) for tokenizer in self.tokenizers)
        for other in others:
            first = np.where(first == other, first, np.int32(NOWHERE))
        return first

    def _ids(self, tokenizer: "CLIPTokenizer", texts: Sequence[str]) -> npt.NDArray[np.int64]:
        written_out = [expand_words(tokenizer, text) for text in texts]
        return np.array(tokenizer(written_out, **self._padded).input_ids, dtype=np.int64)

    def _unread(self, tokenizer: "CLIPTokenizer", text: str) -> str:
        expanded, origins = _expanded(tokenizer, text)
        offsets = tokenizer(expanded, return_offsets_mapping=True, verbose=False).offset_mapping
        if len(offsets) <= self._length:
            return ""
        # The last token that is read ends the text.
        start, _ = offsets[self._length - 1]
        return text[origins[start][0] :].strip()

    def _slots(
        self, tokenizer: "CLIPTokenizer", text: str, spans: Sequence[WordSpan]
    ) -> npt.NDArray[np.int32]:
        expanded, origins = _expanded(tokenizer, text)
        offsets = tokenizer(expanded, return_offsets_mapping=True, **self._padded).offset_mapping
        slots = np.full(self._length, NOWHERE, dtype=np.int32)
        for token, (start, stop) in enumerate(offsets):
            if start == stop:
                continue
            first, last = origins[start][0], origins[stop - 1][1]
            for span in spans:
                if span.start <= first and last <= span.stop:
                    slots[token] = span.slot
        return slots

    @property
    def _padded(self) -> dict[str, Any]:
        return {"padding": "max_length", "max_length": self._length, "truncation": True}


def expand_words(tokenizer: "CLIPTokenizer", text: str) -> str:
    """`text` with every learnt word of several embeddings written out, one token for each.

    Such a word is `<mia>` with the tokens `<mia>`, `<mia>_1`, `<mia>_2` ... in the tokenizer; the
    same rule as `maybe_convert_prompt` in diffusers' loaders/textual_inversion.py. Here letters
    may be upper or lower case, as for CLIP's tokenizers, and what is written out already stays.
    """
    return _expanded(tokenizer, text)[0]


def _expanded(tokenizer: "CLIPTokenizer", text: str) -> tuple[str, list[tuple[int, int]]]:
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


def _written_out(tokenizer: "CLIPTokenizer") -> dict[str, str]:
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
