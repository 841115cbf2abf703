"""The text encoders of SD3: two CLIPs with projections and T5, whose texts have one length.

A checkpoint may lack T5, as many are published to save memory: the model then reads zeros in place
of its tokens, as it was trained to (arXiv:2403.03206).

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
from lafi.model.text_stacks.clip_reader import ClipReader, clip_reader
from lafi.model.text_stacks.t5_reader import T5_TOKENIZERS
from lafi.model.tokenizer_files import vocabulary_size

SD3_T5_LENGTH: Final = 256
"""Tokens of a text that T5 reads, as `max_sequence_length` of StableDiffusion3Pipeline is."""
T5: Final = "text_encoder_3"
SD3_TEXT_PARTS: Final[Mapping[str, tuple[str | None, ...]]] = {
    "text_encoder": ("CLIPTextModelWithProjection",),
    "tokenizer": CLIP_TOKENIZERS,
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer_2": CLIP_TOKENIZERS,
    T5: ("T5EncoderModel", None),
    "tokenizer_3": (*T5_TOKENIZERS, None),
}
"""Its parts in a pipeline of diffusers, each with its allowed classes; None: it may lack."""


class Sd3Texts:
    """`TextStack` of two CLIPs and T5.

    `text` is CLIP's tokens, both hidden states side by side and zeros up to T5's width, and then
    T5's tokens. `pooled` is both CLIPs' projections. No token is masked. Without T5 `text` is
    both hidden states alone, and what CLIP does not read is refused.
    """

    encoders: Final = ("text_encoder", "text_encoder_2", T5)
    tokenizers: Final = ("tokenizer", "tokenizer_2", "tokenizer_3")
    windows: Final = 1
    skips_layers: Final = False

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `TextStack`."""
        pairs = dict(zip(self.encoders, self.tokenizers, strict=True))
        there = {part: tokenizer for part, tokenizer in pairs.items() if part in parts}
        found = encoder_problems(folder, parts, there, T5)
        clips = _clip_width(parts)
        part, field = (T5, "d_model") if T5 in parts else ("transformer", "joint_attention_dim")
        if clips > (width := parts[part][field]):
            found.append(
                f"{part}.{field}: got {width}, allowed {clips} or more, the widths of both CLIPs"
            )
        return found

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `TextStack`. The most tokens are T5's, or without it CLIP's."""
        pooled = {"pooled_width": sum(parts[part]["projection_dim"] for part in self.encoders[:2])}
        if T5 not in parts:
            lacking = {"absent_parts": (T5,)}
            return {
                "text_length": CLIP_LENGTH,
                "text_width": _clip_width(parts),
                **pooled,
                **lacking,
            }
        return {"text_length": SD3_T5_LENGTH, "text_width": parts[T5]["d_model"], **pooled}

    def tokenizers_of(self, info: ModelInfo) -> tuple[str, ...]:
        """As `TextStack`."""
        return self.tokenizers[:2] if T5 in info.absent_parts else self.tokenizers

    def ids(self, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`: (3, T), of which CLIP reads the first CLIP_LENGTH; (2, T) without T5."""
        return (len(self.tokenizers_of(info)), info.text_length)

    def vocabularies(self, folder: Path, info: ModelInfo) -> tuple[int, ...]:
        """As `TextStack`."""
        return tuple(vocabulary_size(folder / part) for part in self.tokenizers_of(info))

    def outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """As `TextStack`: `text` and `pooled`."""
        text = TextOutput("text", text_shape(info))
        return text, TextOutput("pooled", (info.pooled_width,))

    def reader(self, folder: Path, info: ModelInfo) -> ClipBesideT5Reader | ClipReader:
        """As `TextStack`."""
        if T5 in info.absent_parts:
            return clip_reader(folder, self.tokenizers_of(info), info.text_length)
        *clips, t5 = self.tokenizers
        return clip_beside_t5_reader(folder, clips, t5, info.text_length, in_text=True)


def text_shape(info: ModelInfo) -> tuple[int, int]:
    """Tokens and channels of an encoded text: CLIP's tokens, and T5's where there is one."""
    tokens = 0 if T5 in info.absent_parts else info.text_length
    return CLIP_LENGTH + tokens, info.text_width


def _clip_width(parts: Mapping[str, Config]) -> int:
    """Channels of both CLIPs' hidden states side by side."""
    return sum(parts[part]["hidden_size"] for part in ("text_encoder", "text_encoder_2"))


SD3_TEXTS: Final = Sd3Texts()
