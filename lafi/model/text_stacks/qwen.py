"""Qwen3's hidden states as Z-Image reads them: a prompt as one turn of a chat, of any length.

Knows configs of diffusers' folders.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config
from lafi.model.info import ModelInfo
from lafi.model.input_port import TEXT, TEXT_MASK, TOKENS, Axis
from lafi.model.text_stack import TextOutput
from lafi.model.text_stacks.qwen_reader import QwenReader
from lafi.model.tokenizer_files import missing_embeddings, vocabulary_size

QWEN_PARTS: Final[Mapping[str, tuple[str, ...] | None]] = {
    "text_encoder": ("Qwen3Model", "Qwen3ForCausalLM"),
    "tokenizer": ("Qwen2Tokenizer", "Qwen2TokenizerFast"),
}
"""Its parts in a pipeline of diffusers, each with its allowed classes."""
_LENGTH: Final = 512
"""Tokens of a prompt with the chat's own, `max_sequence_length` of diffusers' ZImagePipeline."""
_COUNTS: Final = 2
"""Values that say whether a token counts."""


class QwenTexts:
    """`TextStack` of one causal language model.

    Its token ids have two rows: the ids, and 1 where a token counts, 0 where it pads. No id says
    it, as the token that pads may also be written in a prompt.
    """

    encoders: Final = ("text_encoder",)
    tokenizers: Final = ("tokenizer",)
    windows: Final = 1
    skips_layers: Final = False

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `TextStack`."""
        (part,), (tokenizer,) = self.encoders, self.tokenizers
        config, ids = parts[part], vocabulary_size(folder / tokenizer)
        found = missing_embeddings(part, config, tokenizer, ids)
        if config.get("use_sliding_window"):
            found.append("text_encoder.use_sliding_window: got True, allowed False")
        return found

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `TextStack`."""
        return {"text_length": _LENGTH, "text_width": parts["text_encoder"]["hidden_size"]}

    def tokenizers_of(self, info: ModelInfo) -> tuple[str, ...]:
        """As `TextStack`."""
        return self.tokenizers

    def ids(self, info: ModelInfo) -> tuple[Axis | int, ...]:
        """As `TextStack`."""
        return (_COUNTS, TOKENS)

    def vocabularies(self, folder: Path, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`."""
        return (vocabulary_size(folder / "tokenizer"), _COUNTS)

    def outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """As `TextStack`: hidden states, and which of them count."""
        return (
            TextOutput(TEXT, (TOKENS, info.text_width)),
            TextOutput(TEXT_MASK, (TOKENS,)),
        )

    def reader(self, folder: Path, info: ModelInfo) -> QwenReader:
        """As `TextStack`."""
        # Imported here, because only code that reads prompts needs it.
        from transformers import AutoTokenizer

        return QwenReader(AutoTokenizer.from_pretrained(folder / "tokenizer"), info.text_length)


QWEN: Final = QwenTexts()
