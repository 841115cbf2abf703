"""CLIP's text encoders as in SD (one) and SDXL (two), with tokens of one fixed length.

Knows configs of diffusers' folders.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config
from lafi.model.info import ModelInfo
from lafi.model.text_stack import TextOutput
from lafi.model.text_stacks.clip_reader import ClipReader, clip_reader
from lafi.model.tokenizer_files import missing_embeddings, vocabulary_size

_TOKENIZERS: Final = ("CLIPTokenizer", "CLIPTokenizerFast")
Parts = Mapping[str, tuple[str, ...] | None]

ONE_ENCODER: Final[Parts] = {"text_encoder": ("CLIPTextModel",), "tokenizer": _TOKENIZERS}
"""Its parts in a pipeline of diffusers, each with its allowed classes."""
TWO_ENCODERS: Final[Parts] = {
    **ONE_ENCODER,
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer_2": _TOKENIZERS,
}


class ClipTexts:
    """`TextStack` of one CLIP encoder, or of two, whose second also gives `pooled`.

    A text that is longer than the encoders take is encoded in windows, joined on the tokens' axis.
    """

    encoders: Final = ("text_encoder", "text_encoder_2")
    tokenizers: Final = ("tokenizer", "tokenizer_2")
    windows: Final = 16
    skips_layers: Final = True

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `TextStack`: encoders without an embedding for each of their tokenizer's ids."""
        found: list[str] = []
        for part, tokenizer in zip(self.encoders, self.tokenizers, strict=True):
            if part not in parts:
                continue
            ids = vocabulary_size(folder / tokenizer)
            found += missing_embeddings(part, parts[part], tokenizer, ids)
        return found

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `TextStack`."""
        encoders = [parts[part] for part in self.encoders if part in parts]
        layers = min(encoder["num_hidden_layers"] for encoder in encoders)
        return {
            "text_length": min(encoder["max_position_embeddings"] for encoder in encoders),
            "text_windows": self.windows,
            "text_width": sum(encoder["hidden_size"] for encoder in encoders),
            # With two encoders the last layer is never read; what lies below the first is.
            "most_clip_skip": layers if len(encoders) == 1 else layers - 1,
            "pooled_width": encoders[1]["projection_dim"] if len(encoders) > 1 else 0,
        }

    def tokenizers_of(self, info: ModelInfo) -> tuple[str, ...]:
        """As `TextStack`."""
        return self.tokenizers if info.pooled_width else self.tokenizers[:1]

    def ids(self, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`: one window, (T,), or (2, T) with two encoders."""
        count = len(self.tokenizers_of(info))
        return (info.text_length,) if count == 1 else (count, info.text_length)

    def vocabularies(self, folder: Path, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`."""
        return tuple(vocabulary_size(folder / part) for part in self.tokenizers_of(info))

    def outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """As `TextStack`: `text` of one window, and with two encoders `pooled`."""
        text = TextOutput("text", (info.text_length, info.text_width))
        return (text, TextOutput("pooled", (info.pooled_width,))) if info.pooled_width else (text,)

    def reader(self, folder: Path, info: ModelInfo) -> ClipReader:
        """As `TextStack`."""
        tokenizers = self.tokenizers_of(info)
        return clip_reader(folder, tokenizers, info.text_length, info.text_windows)


CLIP: Final = ClipTexts()
