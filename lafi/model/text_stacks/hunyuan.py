"""BERT's and T5's hidden states as Hunyuan-DiT reads them: behind each other, of fixed lengths.

Knows configs of diffusers' folders.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config
from lafi.model.info import ModelInfo
from lafi.model.input_port import TEXT, TEXT_MASK
from lafi.model.text_stack import TextOutput
from lafi.model.text_stacks.hunyuan_reader import (
    BERT_LENGTH,
    T5_LENGTH,
    HunyuanReader,
    hunyuan_reader,
)
from lafi.model.text_stacks.t5_reader import T5_TOKENIZERS
from lafi.model.tokenizer_files import missing_embeddings, vocabulary_size

HUNYUAN_PARTS: Final[Mapping[str, tuple[str, ...] | None]] = {
    "text_encoder": ("BertModel",),
    "tokenizer": ("BertTokenizer", "BertTokenizerFast"),
    "text_encoder_2": ("T5EncoderModel",),
    "tokenizer_2": T5_TOKENIZERS,
}
"""Its parts in a pipeline of diffusers, each with its allowed classes."""
_WORDS: Final = "vocab.txt"
"""BERT's vocabulary, a line for each id, in folders without `tokenizer.json`."""


class HunyuanTexts:
    """`TextStack` of a BERT and a T5 encoder; both read the whole text.

    `text` is BERT's tokens, then T5's; the narrower of the two has zeros in the other's channels.
    """

    encoders: Final = ("text_encoder", "text_encoder_2")
    tokenizers: Final = ("tokenizer", "tokenizer_2")
    windows: Final = 1
    skips_layers: Final = False

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `TextStack`: encoders without an embedding for each of their tokenizer's ids."""
        found: list[str] = []
        for part, tokenizer in zip(self.encoders, self.tokenizers, strict=True):
            ids = _vocabulary(folder / tokenizer)
            found += missing_embeddings(part, parts[part], tokenizer, ids)
        places = parts["text_encoder"]["max_position_embeddings"]
        if places < BERT_LENGTH:
            found.append(
                f"text_encoder.max_position_embeddings: got {places}, allowed {BERT_LENGTH} or more"
            )
        return found

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `TextStack`. `text_length` is T5's, which says how long a text may be."""
        widths = parts["text_encoder"]["hidden_size"], parts["text_encoder_2"]["d_model"]
        return {"text_length": T5_LENGTH, "text_width": max(widths)}

    def tokenizers_of(self, info: ModelInfo) -> tuple[str, ...]:
        """As `TextStack`."""
        return self.tokenizers

    def ids(self, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`: a row for each encoder."""
        return (len(self.encoders), T5_LENGTH)

    def vocabularies(self, folder: Path, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`."""
        return tuple(_vocabulary(folder / tokenizer) for tokenizer in self.tokenizers)

    def outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """As `TextStack`: hidden states, and which of them count."""
        tokens = text_tokens(info)
        return TextOutput(TEXT, (tokens, info.text_width)), TextOutput(TEXT_MASK, (tokens,))

    def reader(self, folder: Path, info: ModelInfo) -> HunyuanReader:
        """As `TextStack`."""
        return hunyuan_reader(*(folder / tokenizer for tokenizer in self.tokenizers))


HUNYUAN_TEXTS: Final = HunyuanTexts()


def text_tokens(info: ModelInfo) -> int:
    """Tokens of an encoded text: BERT's and T5's."""
    return BERT_LENGTH + info.text_length


def _vocabulary(tokenizer: Path) -> int:
    """As `vocabulary_size`, also of a folder as BERT's were published."""
    words = tokenizer / _WORDS
    if words.is_file() and not (tokenizer / "tokenizer.json").is_file():
        return len(words.read_text(encoding="utf-8").splitlines())
    return vocabulary_size(tokenizer)
