"""Texts to the token ids of a chat with Qwen3, padded to whole multiples of 32 tokens.

Source: `_encode_prompt` of diffusers' ZImagePipeline, which cuts what this refuses.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lafi.model.input_port import NOWHERE
from lafi.model.text_stack import TextSize, WordSpan
from lafi.model.text_stacks.clip_reader import slots_of
from lafi.model.text_stacks.clip_windows import Token

MULTIPLE: Final = 32
"""Z-Image pads a caption to whole multiples of this, with a token that it has learnt."""
_NO_WORD: Final = "\0"


class QwenReader:
    """`lafi.model.text_stack.PromptReader` of one tokenizer with a chat template."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        """length: the most tokens of a text, those of the chat included."""
        self._tokenizer = tokenizer
        self._length = length

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(N, 2, T): ids, and 1 where a token counts. T: a multiple of 32, as the longest needs."""
        rows = [self._ids(text) for text in texts]
        longest = max(map(len, rows))
        if longest > self._length:
            raise ValueError(f"text: got {longest} tokens, allowed {self._length}")
        ids = np.full((len(rows), 2, -(-longest // MULTIPLE) * MULTIPLE), 0, dtype=np.int64)
        ids[:, 0] = self._tokenizer.pad_token_id
        for row, found in zip(ids, rows, strict=True):
            row[0, : len(found)], row[1, : len(found)] = found, 1
        return ids

    def size(self, text: str) -> TextSize:
        """As `PromptReader`."""
        return TextSize(len(self._ids(text)) - len(self._ids("")), 1)

    def unread(self, text: str) -> str:
        """As `PromptReader`."""
        if len(self._ids(text)) <= self._length:
            return ""
        room = self._length - len(self._ids(""))
        read = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        places = [start for start, _ in read.offset_mapping]
        return text[min(places[room] if room < len(places) else len(text), len(text) - 1) :]

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        """As `PromptReader`. A blank before a word, which is in its token, counts for nothing."""
        chat = self._chat(text)
        # A text may be a word of the chat's own, such as `user`.
        before = self._chat(_NO_WORD).index(_NO_WORD)
        read = self._tokenizer(chat, return_offsets_mapping=True, verbose=False)
        tokens = []
        for number, (start, stop) in zip(read.input_ids, read.offset_mapping, strict=True):
            word = chat[start:stop].lstrip()
            blanks = stop - start - len(word) if word else 0
            tokens.append(Token(number, start + blanks - before, stop - before))
        slots = np.full(self.token_ids([text]).shape[-1], NOWHERE, dtype=np.int32)
        slots[: len(tokens)] = slots_of(tokens, spans)
        return slots

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(self._chat(text), verbose=False).input_ids
        return ids

    def _chat(self, text: str) -> str:
        chat: str = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        return chat
