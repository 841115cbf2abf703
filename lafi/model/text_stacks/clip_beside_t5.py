"""Texts to the token ids of CLIP and T5 together, as FLUX and SD3 read them.

T5 reads the whole text, or it is refused. CLIP reads a shorter one, and of a longer one its
beginning, as diffusers' pipelines have it; `TextSize.partly` says so.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from lafi.model.config_problems import Config, differs
from lafi.model.input_port import NOWHERE
from lafi.model.text_stack import TextSize, WordSpan
from lafi.model.text_stacks.clip_reader import agreed, slots_of, tokens_of
from lafi.model.text_stacks.t5_reader import T5_PADDING, T5Reader, t5_reader
from lafi.model.tokenizer_files import missing_embeddings, vocabulary_size

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CLIP_LENGTH: Final = 77
"""Tokens of a text that CLIP reads, those that begin, end and pad it included."""
CLIP_TOKENIZERS: Final = ("CLIPTokenizer", "CLIPTokenizerFast")
_MARKS: Final = 2
"""Tokens that begin and end what CLIP reads."""
_ROOM: Final = CLIP_LENGTH - _MARKS
_SHOWN: Final = 24
"""Letters of the end of what CLIP reads, in a note."""


class ClipBesideT5Reader:
    """`lafi.model.text_stack.PromptReader` of one or two CLIP tokenizers and one of T5.

    in_text: whether the encoded text holds CLIP's tokens, before T5's.
    """

    def __init__(self, clips: Sequence["CLIPTokenizer"], t5: T5Reader, *, in_text: bool) -> None:
        self._clips = tuple(clips)
        self._t5 = t5
        self._in_text = in_text

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(N, encoders, T): a row for each CLIP, filled up behind its CLIP_LENGTH, then T5's."""
        t5 = self._t5.token_ids(texts)
        ids = np.full((len(t5), len(self._clips) + 1, t5.shape[1]), T5_PADDING, np.int64)
        ids[:, -1] = t5
        for row, text in zip(ids, texts, strict=True):
            for place, clip in enumerate(self._clips):
                numbers = [token.number for token in tokens_of(clip, text)[:_ROOM]]
                kept = [clip.bos_token_id, *numbers, clip.eos_token_id]
                row[place, :CLIP_LENGTH] = kept + [clip.pad_token_id] * (CLIP_LENGTH - len(kept))
        return ids

    def size(self, text: str) -> TextSize:
        """As `PromptReader`; tokens of T5."""
        tokens = max((tokens_of(clip, text) for clip in self._clips), key=len)
        size = self._t5.size(text)
        if len(tokens) <= _ROOM:
            return size
        beginning = text[: tokens[_ROOM].start].rstrip()
        partly = (
            f"{len(tokens)} tokens of CLIP, which reads the first {_ROOM}, to "
            f"{beginning[-_SHOWN:]!r}; T5 reads all"
        )
        return size._replace(partly=partly)

    def unread(self, text: str) -> str:
        """As `PromptReader`: what T5 would not read."""
        return self._t5.unread(text)

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        """(T,): of the encoded text's tokens, as of `ClipReader` and `T5Reader`."""
        t5 = self._t5.slots(text, spans)
        if not self._in_text:
            return t5
        slots = np.full((len(self._clips), CLIP_LENGTH), NOWHERE, np.int32)
        for row, clip in zip(slots, self._clips, strict=True):
            found = slots_of(tokens_of(clip, text)[:_ROOM], spans)
            row[1 : 1 + len(found)] = found
        return np.concatenate([agreed(slots), t5])


def clip_beside_t5_reader(
    folder: Path, clips: Sequence[str], t5: str, length: int, *, in_text: bool
) -> ClipBesideT5Reader:
    """The tokenizers in `folder`, loaded. clips, t5: names of parts. length: of T5's texts."""
    # Imported here, because only code that reads prompts needs it.
    from transformers import CLIPTokenizer

    read = [CLIPTokenizer.from_pretrained(folder / part) for part in clips]
    return ClipBesideT5Reader(read, t5_reader(folder / t5, length), in_text=in_text)


def encoder_problems(
    folder: Path, parts: Mapping[str, Config], tokenizers: Mapping[str, str], t5: str
) -> list[str]:
    """Encoders that read other lengths, or lack an embedding for a tokenizer's id.

    tokenizers: encoder -> its tokenizer. t5: the encoder that is T5.
    """
    found: list[str] = []
    for part, tokenizer in tokenizers.items():
        ids = vocabulary_size(folder / tokenizer)
        found += missing_embeddings(part, parts[part], tokenizer, ids)
        if part != t5:
            why = "tokens that CLIP reads here"
            found += differs(f"{part}.max_position_embeddings", parts[part], CLIP_LENGTH, why)
    return found
