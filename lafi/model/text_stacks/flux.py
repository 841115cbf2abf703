"""The text encoders of FLUX.1: CLIP, of which one vector is used, and T5 with one length.

Knows configs of diffusers' folders.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config
from lafi.model.info import ModelInfo
from lafi.model.text_stack import TextOutput
from lafi.model.text_stacks.clip_beside_t5 import (
    CLIP_TOKENIZERS,
    ClipBesideT5Reader,
    clip_beside_t5_reader,
    encoder_problems,
)
from lafi.model.text_stacks.t5_reader import T5_TOKENIZERS
from lafi.model.tokenizer_files import vocabulary_size

FLUX_T5_LENGTH: Final = 512
"""Tokens of a text that T5 reads, as `max_sequence_length` of FluxPipeline is."""
FLUX_TEXT_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": CLIP_TOKENIZERS,
    "text_encoder_2": ("T5EncoderModel",),
    "tokenizer_2": T5_TOKENIZERS,
}
"""Its parts in a pipeline of diffusers, each with its allowed classes."""


class FluxTexts:
    """`TextStack` of CLIP and T5: `text` is T5's tokens, `pooled` CLIP's. No token is masked."""

    encoders: Final = ("text_encoder", "text_encoder_2")
    tokenizers: Final = ("tokenizer", "tokenizer_2")
    windows: Final = 1
    skips_layers: Final = False

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `TextStack`."""
        pairs = dict(zip(self.encoders, self.tokenizers, strict=True))
        return encoder_problems(folder, parts, pairs, self.encoders[-1])

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `TextStack`. The most tokens are T5's."""
        return {
            "text_length": FLUX_T5_LENGTH,
            "text_width": parts["text_encoder_2"]["d_model"],
            "pooled_width": parts["text_encoder"]["hidden_size"],
        }

    def tokenizers_of(self, info: ModelInfo) -> tuple[str, ...]:
        """As `TextStack`."""
        return self.tokenizers

    def ids(self, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`: (2, T), of which CLIP reads the first CLIP_LENGTH."""
        return (len(self.tokenizers), info.text_length)

    def vocabularies(self, folder: Path, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`."""
        return tuple(vocabulary_size(folder / part) for part in self.tokenizers)

    def outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """As `TextStack`: `text` and `pooled`."""
        text = TextOutput("text", (info.text_length, info.text_width))
        return text, TextOutput("pooled", (info.pooled_width,))

    def reader(self, folder: Path, info: ModelInfo) -> ClipBesideT5Reader:
        """As `TextStack`."""
        *clips, t5 = self.tokenizers
        return clip_beside_t5_reader(folder, clips, t5, info.text_length, in_text=False)


FLUX_TEXTS: Final = FluxTexts()
