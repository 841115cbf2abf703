"""T5's hidden states as PixArt reads them: one text in lower case, padded to a fixed length.

Knows configs of diffusers' folders. Sources: `encode_prompt` of diffusers' PixArtAlphaPipeline and
PixArtSigmaPipeline, which cut what this refuses, and whose `clean_caption` is off here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lafi.model.config_problems import Config
from lafi.model.info import ModelInfo
from lafi.model.input_port import TEXT, TEXT_MASK
from lafi.model.text_stack import TextOutput, TextSize, WordSpan
from lafi.model.text_stacks.t5_reader import T5_TOKENIZERS, T5Reader, t5_reader
from lafi.model.tokenizer_files import missing_embeddings, vocabulary_size

PIXART_PARTS: Final[Mapping[str, tuple[str, ...] | None]] = {
    "text_encoder": ("T5EncoderModel",),
    "tokenizer": T5_TOKENIZERS,
}
"""Its parts in a pipeline of diffusers, each with its allowed classes."""
ALPHA: Final = "PixArtAlphaPipeline"
SIGMA: Final = "PixArtSigmaPipeline"
_LENGTHS: Final = {ALPHA: 120, SIGMA: 300}
"""Tokens of a prompt with the one that ends it: `max_sequence_length` of each pipeline."""


class PixArtReader:
    """`lafi.model.text_stack.PromptReader` of a T5 tokenizer; letters are lower case."""

    def __init__(self, reader: T5Reader) -> None:
        """reader: of texts that are in lower case."""
        self._reader = reader

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """As `T5Reader`."""
        return self._reader.token_ids([text.lower() for text in texts])

    def size(self, text: str) -> TextSize:
        """As `PromptReader`."""
        return self._reader.size(text.lower())

    def unread(self, text: str) -> str:
        """As `PromptReader`, in lower case, as it would be read."""
        return self._reader.unread(text.lower())

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        """As `T5Reader`. A letter may become two in lower case, so spans may move."""
        moved = [
            WordSpan(len(text[: span.start].lower()), len(text[: span.stop].lower()), span.slot)
            for span in spans
        ]
        return self._reader.slots(text.lower(), moved)


class PixArtTexts:
    """`TextStack` of one T5 encoder, and which of its tokens count."""

    encoders: Final = ("text_encoder",)
    tokenizers: Final = ("tokenizer",)
    windows: Final = 1
    skips_layers: Final = False

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `TextStack`."""
        (part,), (tokenizer,) = self.encoders, self.tokenizers
        ids = vocabulary_size(folder / tokenizer)
        return missing_embeddings(part, parts[part], tokenizer, ids)

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `TextStack`."""
        return {
            "text_length": _LENGTHS[parts["index"]["_class_name"]],
            "text_width": parts["text_encoder"]["d_model"],
        }

    def tokenizers_of(self, info: ModelInfo) -> tuple[str, ...]:
        """As `TextStack`."""
        return self.tokenizers

    def ids(self, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`: (T,)."""
        return (info.text_length,)

    def vocabularies(self, folder: Path, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`."""
        return (vocabulary_size(folder / "tokenizer"),)

    def outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """As `TextStack`: hidden states, and which of them count."""
        return (
            TextOutput(TEXT, (info.text_length, info.text_width)),
            TextOutput(TEXT_MASK, (info.text_length,)),
        )

    def reader(self, folder: Path, info: ModelInfo) -> PixArtReader:
        """As `TextStack`."""
        return PixArtReader(t5_reader(folder / "tokenizer", info.text_length))


PIXART_TEXTS: Final = PixArtTexts()
