"""Texts to the token ids of BERT and of T5, as Hunyuan-DiT reads both.

Source: `encode_prompt` of diffusers' HunyuanDiTPipeline. What T5 does not read is refused; of a
text that is too long for BERT alone, BERT reads the beginning, as there; `TextSize.partly` says so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from lafi.model.input_port import NOWHERE
from lafi.model.text_stack import TextSize, WordSpan
from lafi.model.text_stacks.clip_windows import Token
from lafi.model.text_stacks.t5_reader import T5Reader, t5_reader

if TYPE_CHECKING:
    from transformers import BertTokenizer

BERT_LENGTH: Final = 77
"""Tokens of a text for BERT, those that begin, end and pad it included."""
T5_LENGTH: Final = 256
"""Tokens of a text for T5, those that end and pad it included."""
BERT_PADDING: Final = 0
"""The id of what pads a text for BERT: a token counts where its id is another."""
_MARKS: Final = 2
"""Tokens that begin and end a text for BERT."""
_ROOM: Final = BERT_LENGTH - _MARKS
_SHOWN: Final = 24
"""Letters of the end of what BERT reads, in a note."""


class HunyuanReader:
    """`lafi.model.text_stack.PromptReader` of a BERT tokenizer and a T5 tokenizer."""

    def __init__(self, bert: "BertTokenizer", t5: T5Reader) -> None:
        """bert: pads with BERT_PADDING. t5: of T5_LENGTH tokens."""
        self._bert = bert
        self._t5 = t5

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(N, 2, T5_LENGTH): BERT's ids, of which only the first BERT_LENGTH count, and T5's."""
        ids = np.full((len(texts), 2, T5_LENGTH), BERT_PADDING, dtype=np.int64)
        ids[:, 1] = self._t5.token_ids(texts)
        for row, text in zip(ids, texts, strict=True):
            numbers = [token.number for token in self._read_by_bert(text)]
            whole = [self._bert.cls_token_id, *numbers, self._bert.sep_token_id]
            row[0, : len(whole)] = whole
        return ids

    def size(self, text: str) -> TextSize:
        """As `PromptReader`; tokens of T5."""
        tokens, size = self._tokens(text), self._t5.size(text)
        if len(tokens) <= _ROOM:
            return size
        beginning = text[: tokens[_ROOM].start].rstrip()
        partly = (
            f"{len(tokens)} tokens of BERT, which reads the first {_ROOM}, to "
            f"{beginning[-_SHOWN:]!r}; T5 reads all"
        )
        return size._replace(partly=partly)

    def unread(self, text: str) -> str:
        """As `PromptReader`: what T5 does not read."""
        return self._t5.unread(text)

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        """(BERT_LENGTH + T5_LENGTH,): for each token the slot of the span that it belongs to.

        -1 for none. A token belongs to a span if all its letters do.
        """
        own = np.full(BERT_LENGTH, NOWHERE, np.int32)
        for place, token in enumerate(self._read_by_bert(text), 1):
            for span in spans:
                if span.start <= token.start and token.stop <= span.stop:
                    own[place] = span.slot
        return np.concatenate([own, self._t5.slots(text, spans)])

    def _read_by_bert(self, text: str) -> Sequence[Token]:
        return self._tokens(text)[:_ROOM]

    def _tokens(self, text: str) -> Sequence[Token]:
        """BERT's, without those that begin and end a text."""
        read = self._bert(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        pairs = zip(read.input_ids, read.offset_mapping, strict=True)
        return [Token(number, start, stop) for number, (start, stop) in pairs]


def hunyuan_reader(bert: Path, t5: Path) -> HunyuanReader:
    """The tokenizers in two folders, loaded. Raises ValueError for another BERT padding."""
    # Imported here, because only code that reads prompts needs it.
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(bert)
    if tokenizer.pad_token_id != BERT_PADDING:
        got = tokenizer.pad_token_id
        raise ValueError(f"{bert}: id of the token that pads: got {got}, allowed {BERT_PADDING}")
    return HunyuanReader(tokenizer, t5_reader(t5, T5_LENGTH))
