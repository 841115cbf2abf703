"""The text encoders of SD3: two CLIPs with projections and T5, whose texts have one length.

Knows configs of diffusers' folders.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config
from lafi.model.info import ModelInfo
from lafi.model.text_stack import TextOutput
from lafi.model.text_stacks.clip_beside_t5 import (
    CLIP_LENGTH,
    CLIP_TOKENIZERS,
    ClipBesideT5Reader,
    clip_beside_t5_reader,
    encoder_problems,
)
from lafi.model.text_stacks.t5_reader import T5_TOKENIZERS
from lafi.model.tokenizer_files import vocabulary_size

SD3_T5_LENGTH: Final = 256
"""Tokens of a text that T5 reads, as `max_sequence_length` of StableDiffusion3Pipeline is."""
SD3_TEXT_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "text_encoder": ("CLIPTextModelWithProjection",),
    "tokenizer": CLIP_TOKENIZERS,
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer_2": CLIP_TOKENIZERS,
    "text_encoder_3": ("T5EncoderModel",),
    "tokenizer_3": T5_TOKENIZERS,
}
"""Its parts in a pipeline of diffusers, each with its allowed classes."""


class Sd3Texts:
    """`TextStack` of two CLIPs and T5.

    `text` is CLIP's tokens, both hidden states side by side and zeros up to T5's width, and then
    T5's tokens. `pooled` is both CLIPs' projections. No token is masked.
    """

    encoders: Final = ("text_encoder", "text_encoder_2", "text_encoder_3")
    tokenizers: Final = ("tokenizer", "tokenizer_2", "tokenizer_3")
    windows: Final = 1
    skips_layers: Final = False

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `TextStack`."""
        pairs = dict(zip(self.encoders, self.tokenizers, strict=True))
        found = encoder_problems(folder, parts, pairs, self.encoders[-1])
        clips = [parts[part]["hidden_size"] for part in self.encoders[:2]]
        width = parts["text_encoder_3"]["d_model"]
        if sum(clips) > width:
            found.append(
                f"text_encoder_3.d_model: got {width}, allowed {sum(clips)} or more, "
                "the widths of both CLIPs"
            )
        return found

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `TextStack`. The most tokens are T5's."""
        return {
            "text_length": SD3_T5_LENGTH,
            "text_width": parts["text_encoder_3"]["d_model"],
            "pooled_width": sum(parts[part]["projection_dim"] for part in self.encoders[:2]),
        }

    def tokenizers_of(self, info: ModelInfo) -> tuple[str, ...]:
        """As `TextStack`."""
        return self.tokenizers

    def ids(self, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`: (3, T), of which CLIP reads the first CLIP_LENGTH."""
        return (len(self.tokenizers), info.text_length)

    def vocabularies(self, folder: Path, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`."""
        return tuple(vocabulary_size(folder / part) for part in self.tokenizers)

    def outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """As `TextStack`: `text` and `pooled`."""
        text = TextOutput("text", (CLIP_LENGTH + info.text_length, info.text_width))
        return text, TextOutput("pooled", (info.pooled_width,))

    def reader(self, folder: Path, info: ModelInfo) -> ClipBesideT5Reader:
        """As `TextStack`."""
        *clips, t5 = self.tokenizers
        return clip_beside_t5_reader(folder, clips, t5, info.text_length, in_text=True)


SD3_TEXTS: Final = Sd3Texts()
