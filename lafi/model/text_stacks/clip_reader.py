"""Texts to CLIP's token ids, also with tokenizers that have learnt words of several embeddings."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from lafi.model.input_port import NOWHERE
from lafi.model.text_stack import TextSize, WordSpan
from lafi.model.text_stacks.clip_windows import Token, Window, windows

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

_MARKS: Final = 2
"""Tokens of a window that begin and end it."""


class ClipReader:
    """`lafi.model.text_stack.PromptReader` of one or two CLIP tokenizers.

    Learnt words of several embeddings become as many tokens.
    """

    def __init__(
        self, tokenizers: Sequence["CLIPTokenizer"], length: int, most_windows: int = 1
    ) -> None:
        """length: tokens of every window, those that begin, end and pad it included."""
        self.tokenizers = tuple(tokenizers)
        self._length = length
        self._most_windows = most_windows

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(N, length) with one tokenizer, padded; with more, (N, tokenizers, length)."""
        rows = []
        for text in texts:
            found = self._windows(text)
            if len(found) > self._most_windows:
                allowed = f"{self._most_windows} of {self._length - _MARKS} tokens"
                raise ValueError(f"text: got {len(found)} windows, allowed {allowed}")
            rows += [self._ids(window) for window in found]
        ids = np.array(rows, dtype=np.int64).reshape(-1, len(self.tokenizers), self._length)
        return ids[:, 0] if len(self.tokenizers) == 1 else ids

    def size(self, text: str) -> TextSize:
        """As `PromptReader`; tokens of the tokenizer that has most."""
        found = self._windows(text)
        each = (sum(len(window[place]) for window in found) for place in range(len(found[0])))
        return TextSize(max(each), len(found))

    def unread(self, text: str) -> str:
        """As `PromptReader`."""
        too_many = self._windows(text)[self._most_windows :]
        if not too_many:
            return ""
        return text[min(tokens[0].start for tokens in too_many[0] if tokens) :].strip()

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        """(T,): for each token of all windows the slot of the span that it belongs to, or -1.

        A token belongs to a span if all its letters do: one that runs over an edge gets -1, as
        do the tokens that begin, end and pad a window. Where two tokenizers disagree on a token, it
        gets -1.
        """
        found = self._windows(text)
        slots = np.full((len(self.tokenizers), len(found) * self._length), NOWHERE, np.int32)
        for number, window in enumerate(found):
            for row, tokens in zip(slots, window, strict=True):
                start = number * self._length + 1
                row[start : start + len(tokens)] = slots_of(tokens, spans)
        return agreed(slots)

    def _windows(self, text: str) -> tuple[Window, ...]:
        tokens = [tokens_of(tokenizer, text) for tokenizer in self.tokenizers]
        return windows(text, tokens, self._length - _MARKS)

    def _ids(self, window: Window) -> list[list[int]]:
        """One window for each tokenizer: begun, ended and padded."""
        rows = []
        for tokenizer, tokens in zip(self.tokenizers, window, strict=True):
            numbers = [token.number for token in tokens]
            ids = [tokenizer.bos_token_id, *numbers, tokenizer.eos_token_id]
            rows.append(ids + [tokenizer.pad_token_id] * (self._length - len(ids)))
        return rows


def clip_reader(folder: Path, parts: Sequence[str], length: int, windows: int = 1) -> ClipReader:
    """The tokenizers in `folder`, loaded. parts: their names. length, windows: as `ClipReader`."""
    # Imported here, because only code that reads prompts needs it.
    from transformers import CLIPTokenizer

    tokenizers = (CLIPTokenizer.from_pretrained(folder / part) for part in parts)
    return ClipReader(tuple(tokenizers), length, windows)


def tokens_of(tokenizer: "CLIPTokenizer", text: str) -> list[Token]:
    """A text's tokens, without those that begin and end it; learnt words are written out."""
    whole, origins = expanded(tokenizer, text)
    origins.append((len(text), len(text)))
    read = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [
        Token(number, origins[start][0], origins[max(start, stop - 1)][1])
        for number, (start, stop) in zip(read.input_ids, read.offset_mapping, strict=True)
    ]


def slots_of(tokens: Sequence[Token], spans: Sequence[WordSpan]) -> list[int]:
    """For each token the slot of the span that holds all its letters, or -1."""
    slots = []
    for token in tokens:
        holding = [s.slot for s in spans if s.start <= token.start and token.stop <= s.stop]
        slots.append(holding[-1] if holding else NOWHERE)
    return slots


def agreed(slots: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Slots (tokenizers, T) -> (T,); -1 where tokenizers disagree."""
    same = (slots == slots[0]).all(axis=0)
    found: npt.NDArray[np.int32] = np.where(same, slots[0], np.int32(NOWHERE))
    return found


def expanded(tokenizer: "CLIPTokenizer", text: str) -> tuple[str, list[tuple[int, int]]]:
    """`text` with every learnt word of several embeddings written out, one token for each.

    Such a word is `<mia>` with the tokens `<mia>`, `<mia>_1`, `<mia>_2` ... in the tokenizer; the
    same rule as `maybe_convert_prompt` in diffusers' loaders/textual_inversion.py. Here letters
    may be upper or lower case, as for CLIP's tokenizers, and what is written out already stays.
    Also, for each letter of the result, where in `text` it is from: a written-out word's letters
    are all from [start, stop) of the word.
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
