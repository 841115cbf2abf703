"""Texts to T5's token ids, padded to one length.

Knows tokens and letters, no encoder.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from lafi.model.input_port import NOWHERE
from lafi.model.text_stack import TextSize, WordSpan
from lafi.model.text_stacks.clip_reader import slots_of
from lafi.model.text_stacks.clip_windows import Token
from lafi.model.tokenizer_files import TokenizerError

if TYPE_CHECKING:
    from transformers import T5Tokenizer

T5_TOKENIZERS: Final = ("T5Tokenizer", "T5TokenizerFast")
"""Classes of its tokenizers, as `model_index.json` names them; they are one."""
T5_PADDING: Final = 0
"""The id of what pads a text in all published T5s: a token counts where its id is another."""
_MARKS: Final = 1
"""Tokens that end a text."""


class T5Reader:
    """`lafi.model.text_stack.PromptReader` of a T5 tokenizer. Nothing is cut."""

    def __init__(self, tokenizer: "T5Tokenizer", length: int) -> None:
        """length: tokens of every text, that which ends it and those that pad it included."""
        self._tokenizer = tokenizer
        self._length = length

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(N, length): each text, `</s>`, and T5_PADDING up to the length."""
        rows = []
        for text in texts:
            numbers = [token.number for token in self._tokens(text)]
            if len(numbers) + _MARKS > self._length:
                allowed = f"at most {self._length - _MARKS}"
                raise ValueError(f"text: got {len(numbers)} tokens, allowed {allowed}")
            padding = self._length - _MARKS - len(numbers)
            rows.append([*numbers, self._tokenizer.eos_token_id, *[T5_PADDING] * padding])
        return np.array(rows, dtype=np.int64).reshape(-1, self._length)

    def size(self, text: str) -> TextSize:
        """As `PromptReader`."""
        return TextSize(len(self._tokens(text)), 1)

    def unread(self, text: str) -> str:
        """As `PromptReader`."""
        too_many = self._tokens(text)[self._length - _MARKS :]
        return text[too_many[0].start :].strip() if too_many else ""

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        """(length,): for each token the slot of the span that it belongs to, or -1.

        A token belongs to a span if all its letters do.
        """
        slots = np.full(self._length, NOWHERE, np.int32)
        tokens = self._tokens(text)[: self._length - _MARKS]
        slots[: len(tokens)] = slots_of(tokens, spans)
        return slots

    def _tokens(self, text: str) -> list[Token]:
        """Of the text alone, without what ends it."""
        read = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        pairs = zip(read.input_ids, read.offset_mapping, strict=True)
        return [Token(number, start, stop) for number, (start, stop) in pairs]


def t5_reader(folder: Path, length: int) -> T5Reader:
    """The tokenizer in `folder`, loaded. length: as `T5Reader`.

    Raises TokenizerError for one that pads with another id than T5_PADDING.
    """
    # Imported here, because only code that reads prompts needs it.
    from transformers import T5Tokenizer

    tokenizer = T5Tokenizer.from_pretrained(folder)
    if tokenizer.pad_token_id != T5_PADDING:
        got = tokenizer.pad_token_id
        raise TokenizerError(f"{folder}: id of padding: got {got}, allowed {T5_PADDING}")
    return T5Reader(tokenizer, length)
