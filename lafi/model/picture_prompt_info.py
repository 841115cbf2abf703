"""Picture prompts of a model: their facts, their files, and the inputs of the denoiser for them.

<exported folder>/picture_prompts/encoder.onnx, weights/, parity.json, parity.md

An IP-Adapter (arXiv:2308.06721) turns what an image encoder sees in a picture into a few tokens,
which every cross-attention layer reads with keys and values of their own. The weights of those lie
with the denoiser's. Reads no files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from lafi.model.input_port import HEIGHT, PICTURES, ROWS, WIDTH, InputPort

PICTURE_PROMPTS: Final = "picture_prompts"
"""The folder in an exported model, and the part of the denoiser with the adapter's weights."""
ENCODER: Final = "encoder.onnx"
"""What is run once for a picture: the picture -> its tokens."""
PUT_IN: Final = "lafi export CHECKPOINT --out REPO --picture-prompts FILE --image-encoder FOLDER"
"""The command that gives a repository picture prompts."""

PICTURE_TOKENS: Final = "picture_tokens"
"""The denoiser's input with the tokens of a row's pictures."""
PICTURE_WEIGHTS: Final = "picture_weights"
"""The denoiser's input that says how strongly each acts, and where."""


class AdapterFiles(NamedTuple):
    """adapter: a file as IP-Adapters are published; image_encoder: a folder of transformers."""

    adapter: Path
    image_encoder: Path


class PicturePromptInfo(BaseModel):
    """Facts of a model's picture prompts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(ge=1)
    """Of the square picture that the image encoder sees, in pixels."""
    tokens: int = Field(ge=1)
    """Of a picture, K."""
    sha256: Mapping[str, str] = Field(default_factory=dict)
    """By path inside the folder, of the encoder's ONNX file and its weights; empty in torch."""
    adapter_sha256: str = ""
    """Of the file that the adapter was read from."""
    encoder_sha256: str = ""
    """Of the file or files that the image encoder was read from."""


def picture_ports(tokens: int, text_width: int) -> tuple[InputPort, ...]:
    """Inputs of a UNet with an adapter. tokens: of a picture. text_width: of the UNet's texts.

    Tokens (B, P, K, D), of up to P pictures of a row; weights (B, P, h, w), 0 where a picture adds
    nothing.
    """
    return (
        InputPort(
            name=PICTURE_TOKENS,
            axes=(ROWS, PICTURES, tokens, text_width),
            optional=True,
            reading=True,
        ),
        InputPort(
            name=PICTURE_WEIGHTS,
            axes=(ROWS, PICTURES, HEIGHT, WIDTH),
            optional=True,
            reading=True,
        ),
    )


def picture_prompt_folder(artifacts: Path) -> Path:
    """The folder of the image encoder of the model itself."""
    return Path(artifacts) / PICTURE_PROMPTS
