"""What the core asks of an engine: four callables, tokenizers, and facts about the model.

Knows shapes, not runtimes. An engine may be a torch module, an ONNX session, or a served
model that is called over a wire; the pipeline cannot tell them apart.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor
from transformers import CLIPTokenizer

from lafi.model_info import ModelInfo


class EncodedText(NamedTuple):
    """What text encoders give for prompts, or, without the batch, for one.

    hidden  (B, T, D) float32, an embedding of every token
    pooled  (B, P) float32, one of the whole prompt; None where the model has none
    """

    hidden: Tensor
    pooled: Tensor | None = None


@dataclass(frozen=True, slots=True)
class DenoiserBatch:
    """Rows of one denoiser call: panels (with and without prompt) and references together.

    latents    (B, C, h, w) float32, scaled by each row's noise schedule
    timesteps  (B,) float32, each row its own
    text       (B, T, D) float32
    routes     (L, B, R) int32: what row b reads in layer l; [0, B) a row of this batch, -1 nothing
    bias       (B, R) float32, added to the logits of that reference
    mask       (B, h, w) float32 in [0, 1], foreground of a row when it is read as a reference
    region     (B, R, h, w) float32 in [0, 1], where in row b reference r may be read
    pooled     (B, P) float32, the prompts' pooled embeddings; None where the model takes none
    time_ids   (B, 6) float32, pixels: original height and width, crop from the top and from the
               left, target height and width (arXiv:2307.01952); None where `pooled` is
    """

    latents: Tensor
    timesteps: Tensor
    text: Tensor
    routes: Tensor
    bias: Tensor
    mask: Tensor
    region: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None


class Denoiser(Protocol):
    """Predicts noise or velocity, (B, C, h, w) float32, as the model was trained to."""

    def __call__(self, batch: DenoiserBatch, /) -> Tensor: ...


class TextEncoder(Protocol):
    """Token ids int64, (B, T), or (B, 2, T) with two encoders -> encoded text."""

    def __call__(self, token_ids: Tensor, /) -> EncodedText: ...


class VaeEncoder(Protocol):
    """Images (B, 3, H, W) float32 in [-1, 1] -> latents (B, C, h, w) float32: scaled means."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


class VaeDecoder(Protocol):
    """Scaled latents (B, C, h, w) float32 -> images (B, 3, H, W) float32 in [-1, 1]."""

    def __call__(self, latents: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything that draws one model's pictures; `tokenizers` has one per text encoder."""

    text_encoder: TextEncoder
    vae_encoder: VaeEncoder
    vae_decoder: VaeDecoder
    denoiser: Denoiser
    tokenizers: tuple[CLIPTokenizer, ...]
    info: ModelInfo
